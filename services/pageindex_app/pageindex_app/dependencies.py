"""What routes ask for: the services, and who is asking."""

from typing import Annotated

from fastapi import Depends, Request

from .services import Services

LOCAL_CLIENT = "local"  # without a gateway in front there is one client


def services(request: Request) -> Services:
    return request.app.state.services  # type: ignore[no-any-return]


def client_name(request: Request) -> str:
    """The gateway has checked the key and says whose it was; clients cannot set this header themselves."""
    return request.headers.get("x-client", "").strip()[:200] or LOCAL_CLIENT


Parts = Annotated[Services, Depends(services)]
Client = Annotated[str, Depends(client_name)]
