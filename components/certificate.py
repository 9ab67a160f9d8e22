"""Certificate: what the gateway shows to its clients, given by the stack file or made once and then kept."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pulumi
from pulumi_command import local

from components.command import interpreter
from host_access.certificates import certificate_fingerprint
from planning.settings.gateway import GatewaySettings, TlsFiles, read_pem


class Certificate(pulumi.ComponentResource):
    """``pem``, public, and ``key``, secret; both empty without TLS. One that was made stays until its names change."""

    pem: pulumi.Output[str]
    key: pulumi.Output[str]
    fingerprint: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        settings: GatewaySettings,
        names: Sequence[str],
        given_key: str | None,
        opts: pulumi.ResourceOptions | None = None,
    ):
        super().__init__("pageindex-stack:index:Certificate", name, None, opts)
        if isinstance(settings.tls, TlsFiles):
            key = read_pem(settings.tls.key) if settings.tls.key else given_key or ""
            self.pem = pulumi.Output.from_input(read_pem(settings.tls.certificate))
            self.key = pulumi.Output.secret(key)
        elif settings.tls == "self-signed":
            made = local.Command(
                f"{name}-command",
                create=f"{interpreter()} -m host_access.certificates",
                stdin=json.dumps(list(names)),
                triggers=[json.dumps(list(names))],
                logging=local.Logging.NONE,
                opts=pulumi.ResourceOptions(
                    parent=self,
                    additional_secret_outputs=["stdout", "stderr"],
                    ignore_changes=["create"],  # another interpreter path is no reason for another key
                ),
            )
            # During a preview of the first `up` the command's output is not known, and neither is anything below.
            self.pem = pulumi.Output.unsecret(made.stdout.apply(lambda text: str(json.loads(text)[0])))
            self.key = pulumi.Output.secret(made.stdout.apply(lambda text: str(json.loads(text)[1])))
        else:
            self.pem, self.key = pulumi.Output.from_input(""), pulumi.Output.secret("")
        self.fingerprint = self.pem.apply(lambda pem: certificate_fingerprint(pem) if pem else "")
        self.register_outputs({"fingerprint": self.fingerprint})
