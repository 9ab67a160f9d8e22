"""SecretKey: a random key that is made once and then kept, encrypted, in the stack's state."""

from __future__ import annotations

import pulumi
from pulumi_command import local

from components.command import interpreter

# 32 random bytes as 43 characters of A-Z a-z 0-9 _, which every place that takes a key accepts. No hyphen: vLLM takes a
# key that begins with one for a flag, and does not start.
MAKE_KEY = "import secrets; print(secrets.token_urlsafe(32).replace('-', '_'), end='')"


class SecretKey(pulumi.ComponentResource):
    """``value`` stays the same until the resource is replaced: `pulumi up --replace` of its command rotates it."""

    value: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None):
        super().__init__("pageindex-stack:index:SecretKey", name, None, opts)
        made = local.Command(
            f"{name}-command",
            create=f'{interpreter()} -c "{MAKE_KEY}"',
            logging=local.Logging.NONE,
            opts=pulumi.ResourceOptions(
                parent=self,
                additional_secret_outputs=["stdout", "stderr"],
                # Another interpreter path would run the command again and so change the key.
                ignore_changes=["create"],
            ),
        )
        self.value = pulumi.Output.secret(made.stdout)
        self.register_outputs({"value": self.value})
