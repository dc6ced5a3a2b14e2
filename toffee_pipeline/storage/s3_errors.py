"""What the errors of an S3 store mean."""

from __future__ import annotations

import re

from boto3.exceptions import RetriesExceededError
from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError, SSLError
from botocore.exceptions import ConnectionError as NoConnection

USER = re.compile(r"://\S*@")
CHECK_CREDENTIALS = "check AWS_PROFILE, the AWS_* variables or the role of this machine"
CHECK_POLICY = "check that the policy allows s3:ListBucket, GetObject, PutObject and DeleteObject here"
ADVICE = {
    "NoSuchBucket": "there is no such bucket; check its name, and region or endpoint",
    "AccessDenied": f"the store knows the key, and its owner has no permission; {CHECK_POLICY}",
    "403": f"key, secret or permission, the store does not say which; {CHECK_CREDENTIALS}, and {CHECK_POLICY}",
    "400": f"bad request, often expired credentials; {CHECK_CREDENTIALS}",
    "InvalidAccessKeyId": f"the access key is unknown; {CHECK_CREDENTIALS}",
    "SignatureDoesNotMatch": f"the access key is known and its secret is wrong; {CHECK_CREDENTIALS}",
    "RequestTimeTooSkewed": "this machine's clock is wrong",
    **dict.fromkeys(
        ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired", "InvalidToken"),
        f"the credentials have expired; renew them, then run the same command again ({CHECK_CREDENTIALS})",
    ),
}
"""Error code -> what to check."""


def error_code(error: ClientError) -> str:
    code: str = error.response.get("Error", {}).get("Code", "")
    return code


def http_status(error: ClientError) -> int:
    status: int = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status


def passes(error: BaseException) -> bool:
    """Whether the same request may go well in a while: no answer, one cut short, a server in trouble or busy, or
    another conditional write that is under way (409)."""
    if isinstance(error, ClientError):
        status = http_status(error)
        return status in (409, 429) or (status >= 500 and status != 501) or error_code(error) == "RequestTimeout"
    passing = (NoConnection, HTTPClientError, IncompleteReadError, RetriesExceededError)
    return isinstance(error, passing) and not isinstance(error, SSLError)


def in_words(error: BaseException) -> str:
    """One line, without user and password in a URL. The server's own words are left out: some servers repeat the
    request in them."""
    if not isinstance(error, ClientError):
        return USER.sub("://", " ".join(str(error).split()))
    code = error_code(error)
    advice = ADVICE.get(code)
    return f"{error.operation_name} failed with {code} (HTTP {http_status(error)})" + (f": {advice}" if advice else "")
