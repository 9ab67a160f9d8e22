"""The components as a Pulumi plugin, for programs in TypeScript, Go, C#, Java and YAML: `pulumi package add`."""

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from pulumi.provider.experimental import component_provider_host  # noqa: E402

from components.command import find_packages_at  # noqa: E402
from planning.version import VERSION  # noqa: E402
from provider.foundations import IsolatedNetwork, ModelCache, SecretKey  # noqa: E402
from provider.serving import Checks, Gateway, PageIndexApp, VllmServer  # noqa: E402

COMPONENTS = (SecretKey, IsolatedNetwork, ModelCache, Gateway, VllmServer, PageIndexApp, Checks)

if __name__ == "__main__":
    find_packages_at(REPOSITORY)
    component_provider_host(list(COMPONENTS), name="pageindex-stack", version=VERSION)
