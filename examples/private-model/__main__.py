"""A network without a way out and one container on it, with a file that only this container can read.

The components come from this repository: `pip install -e <repository>` puts them on your program's path.
"""

import pulumi
import pulumi_docker as docker

from components import IsolatedNetwork, IsolatedNetworkArgs, SecretKey
from components.config_files import ConfigFiles, ConfigFilesArgs
from components.container import hardened_container, labels
from planning.hosts.images import resolve_image
from planning.hosts.names import FILES_PATH

prefix = "pageindex-example"
network = IsolatedNetwork("quiet", IsolatedNetworkArgs(prefix=prefix))
key = SecretKey("key")
image = docker.RemoteImage("image", name=resolve_image("python"), keep_locally=True)
files = ConfigFiles(
    "files", ConfigFilesArgs(prefix=prefix, component="worker", image=image.image_id, files={"key": key.value})
)
worker = hardened_container(
    "worker",
    host_name=f"{prefix}-worker",
    image=image.image_id,
    user="65534:0",
    networks=[{"name": network.network_name}],
    labelled={**labels(prefix, "worker", "1"), "pageindex-stack.files": files.digest},
    volumes=[{"volume_name": files.volume_name, "container_path": FILES_PATH, "read_only": True}],
    command=["python3", "-c", "import time; time.sleep(1e9)"],
    stop_timeout=1,
    opts=pulumi.ResourceOptions(delete_before_replace=True),
)
pulumi.export("container", worker.name)
