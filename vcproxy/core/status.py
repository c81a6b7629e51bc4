"""Refusals: one Kubernetes `Status` each, with the code, reason and words of the API server.

Reasons and codes are those of k8s.io/apimachinery/pkg/apis/meta/v1 (StatusReason) and pkg/api/errors.
"""

from typing import Any

import msgspec


class Status(msgspec.Struct, frozen=True):
    """A metav1.Status. `details` is a StatusDetails object, `retry_after` is in whole seconds."""

    code: int
    reason: str
    message: str
    details: dict[str, Any] | None = None
    retry_after: int | None = None

    def document(self) -> dict[str, Any]:
        """The object that is sent: dict with keys kind, apiVersion, metadata, status, message, reason, code."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        details = dict(self.details or {})
        if self.retry_after is not None:
            details["retryAfterSeconds"] = self.retry_after
        if details:
            body["details"] = details
        return body

    def encode(self) -> bytes:
        return msgspec.json.encode(self.document())


class ApiError(Exception):
    """A refusal on its way to the client."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.message)
        self.status = status


def _error(code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> ApiError:
    return ApiError(Status(code, reason, message, details))


def qualified(group: str, resource: str) -> str:
    """`deployments.apps`, or `pods` for the core group: schema.GroupResource.String()."""
    return f"{resource}.{group}" if group else resource


def _details(group: str, resource: str, name: str) -> dict[str, Any]:
    details = {"name": name, "group": group, "kind": resource}
    return {key: value for key, value in details.items() if value}


def bad_request(message: str) -> ApiError:
    return _error(400, "BadRequest", message)


def unauthorized() -> ApiError:
    """401, the same for every kind of bad credential."""
    return _error(401, "Unauthorized", "Unauthorized")


def forbidden(message: str, group: str = "", resource: str = "", name: str = "") -> ApiError:
    return _error(403, "Forbidden", message, _details(group, resource, name) or None)


def not_found(group: str, resource: str, name: str) -> ApiError:
    message = f'{qualified(group, resource)} "{name}" not found'
    return _error(404, "NotFound", message, _details(group, resource, name))


def already_exists(group: str, resource: str, name: str) -> ApiError:
    message = f'{qualified(group, resource)} "{name}" already exists'
    return _error(409, "AlreadyExists", message, _details(group, resource, name))


def no_such_path() -> ApiError:
    """404 of a path or kind that is not served: the words of the API server's generic handler."""
    return _error(404, "NotFound", "the server could not find the requested resource")


def method_not_allowed() -> ApiError:
    return _error(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def not_acceptable(offered: str) -> ApiError:
    message = f"only the following media types are accepted: {offered}"
    return _error(406, "NotAcceptable", message)


def gone(message: str) -> ApiError:
    return _error(410, "Expired", message)


def too_large(limit: int) -> ApiError:
    return _error(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}")


def unsupported_media_type(message: str) -> ApiError:
    return _error(415, "UnsupportedMediaType", message)


def invalid(group: str, kind: str, name: str, field: str, message: str) -> ApiError:
    """422 with one cause, as apierrors.NewInvalid words it: `Namespace "x" is invalid: metadata.name: ...`."""
    details = _details(group, kind, name) | {
        "causes": [{"reason": "FieldValueInvalid", "message": message, "field": field}],
    }
    return _error(422, "Invalid", f'{qualified(group, kind)} "{name}" is invalid: {field}: {message}', details)


def too_many_requests(message: str, retry_after: int) -> ApiError:
    return ApiError(Status(429, "TooManyRequests", message, None, retry_after))


def internal() -> ApiError:
    """500 that says nothing of the cause: that stands in the log, under the request's id."""
    return _error(500, "InternalError", "Internal error occurred: the request could not be completed")


def bad_gateway() -> ApiError:
    return _error(502, "ServiceUnavailable", "the API server cannot be reached")


def unavailable(message: str, retry_after: int = 1) -> ApiError:
    return ApiError(Status(503, "ServiceUnavailable", message, None, retry_after))


def timed_out() -> ApiError:
    return _error(504, "Timeout", "the API server did not answer in time")
