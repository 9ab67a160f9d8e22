"""What the gateway itself answers when it refuses: shaped as OpenAI's clients expect it."""

from __future__ import annotations

import json
from collections.abc import Mapping

# status: (OpenAI's error type, code, message). Messages go into nginx strings: no quote, no dollar sign, no backslash.
ERRORS: Mapping[int, tuple[str, str, str]] = {
    400: ("invalid_request_error", "bad_request", "The request is not well-formed HTTP."),
    401: ("authentication_error", "invalid_api_key",
          "No valid key. Send it as Authorization: Bearer KEY or as x-api-key: KEY."),
    403: ("permission_error", "path_not_allowed", "This key may not use this path."),
    404: ("invalid_request_error", "not_found", "There is nothing at this address."),
    405: ("invalid_request_error", "method_not_allowed", "This path does not take this method; see Allow."),
    408: ("invalid_request_error", "request_timeout", "The request did not arrive in time."),
    411: ("invalid_request_error", "length_required", "The request needs a Content-Length."),
    413: ("invalid_request_error", "request_too_large", "The body is larger than {body_mib} MiB or not wanted here."),
    414: ("invalid_request_error", "uri_too_long", "The address is too long."),
    421: ("invalid_request_error", "unknown_host",
          "The Host header names no host that this gateway serves; see gateway.server_names."),
    429: ("rate_limit_error", "rate_limit_exceeded",
          "Too many requests a minute or at once for this key. Try again after Retry-After seconds."),
    431: ("invalid_request_error", "headers_too_large", "The request headers are too large."),
    500: ("server_error", "internal_error", "The gateway failed; its log has the reason."),
    501: ("invalid_request_error", "not_implemented", "The gateway does not understand this transfer coding."),
    503: ("server_error", "service_unavailable",
          "The server behind the gateway is not there or broke off. Try again after Retry-After seconds."),
    504: ("server_error", "timeout", "The server behind the gateway did not answer within {timeout_s} s."),
    505: ("invalid_request_error", "http_version", "The gateway speaks HTTP/1.1 and HTTP/1.0."),
}  # fmt: skip

# Refusals whose status another reason has, too. What begins with a dollar sign is a variable of nginx.
OF_THE_MODEL = ("no_model", "model_not_found", "model_not_allowed")  # whose parameter at fault is `model`
SPECIAL_ERRORS: Mapping[str, tuple[str, str]] = {
    "expired_api_key": ("authentication_error", "This key was good until a day that has passed. Ask for a new one."),
    "https_required": ("invalid_request_error",
                       "This port speaks HTTPS. The key has crossed the network in clear: have it replaced."),
    "no_model": ("invalid_request_error",
                 "The body must be one JSON object with one `model`, at its top: $model_names."),
    "model_not_found": ("invalid_request_error", "There is no model `$model` here. This key may use: $model_names."),
    "model_not_allowed": ("permission_error", "This key may not use `$model`. It may use: $model_names."),
    "wrong_task": ("invalid_request_error", "`$model` does not answer here: see its `task` in /v1/models."),
}  # fmt: skip


def error_of_status(*, body_mib: int, timeout_s: int) -> dict[int, str]:
    """Status to JSON body."""
    return {
        status: _body(kind, code, message.format(body_mib=body_mib, timeout_s=timeout_s))
        for status, (kind, code, message) in ERRORS.items()
    }


def error_body(code: str) -> str:
    """The JSON body of a special refusal."""
    kind, message = SPECIAL_ERRORS[code]
    return _body(kind, code, message, param="model" if code in OF_THE_MODEL else None)


def _body(kind: str, code: str, message: str, param: str | None = None) -> str:
    return json.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})
