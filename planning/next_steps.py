"""The commands that a user types after a deployment, as the output `next_steps` shows them."""

from __future__ import annotations

from planning.hosts.ssh import SshHost
from planning.plan import StackPlan


def next_steps(plan: StackPlan, api_url: str, app_url: str) -> str:
    """What a user types next."""
    reached, gateway = SshHost.of(plan.settings.host), plan.settings.gateway
    tunnel = [reached.user_command([gateway.api_port, gateway.app_port], gateway.bind)] if reached else []
    own = gateway.tls == "self-signed"
    certificate = [f"pulumi stack output -s {plan.stack} tls_certificate > gateway.pem"] if own else []
    curl = "curl --cacert gateway.pem" if own else "curl"
    return "\n".join(
        [
            *tunnel,
            *certificate,
            f"export KEY=$(pulumi stack output -s {plan.stack} api_key --show-secrets)",
            f'{curl} -H "Authorization: Bearer $KEY" {api_url}/models',
            f'{curl} -H "Authorization: Bearer $KEY" -F file=@document.pdf {app_url}/api/documents',
            f'{curl} -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \\',
            f"""  -d '{{"question": "What does it say?"}}' {app_url}/api/ask""",
        ]
    )
