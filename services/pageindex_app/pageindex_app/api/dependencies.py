"""What FastAPI hands to a route: the app's services, and the client's name."""

from typing import Annotated

from fastapi import Depends, Request

from ..services import Services

LOCAL_CLIENT = "local"  # without a gateway in front there is one client


def app_services(request: Request) -> Services:
    return request.app.state.services  # type: ignore[no-any-return]


def client_name(request: Request) -> str:
    """The gateway has checked the key and says whose it was; clients cannot set this header themselves."""
    return request.headers.get("x-client", "").strip()[:200] or LOCAL_CLIENT


AppServices = Annotated[Services, Depends(app_services)]
Client = Annotated[str, Depends(client_name)]
