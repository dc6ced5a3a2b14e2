"""Where requests go is the user's to say, and no password in it is shown."""

import pytest
from botocore.exceptions import EndpointConnectionError
from click.testing import CliRunner

from jobs import status
from toffee_pipeline.config.endpoint import ALLOWED
from toffee_pipeline.storage.s3_errors import in_words


@pytest.mark.parametrize(
    "url", ["http://user:secret@127.0.0.1:9", "http://127.0.0.1:9/secret", "http://user:sec ret@x", "secret"]
)
@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])
def test_an_endpoint_of_the_environment_is_held_against_the_same_rule(variable, url, monkeypatch, capfd):
    monkeypatch.setenv(variable, url)
    done = CliRunner().invoke(status.main, ["s3://bucket-x/run"], catch_exceptions=False)
    assert done.exit_code == 2
    assert done.stderr == f"error: S3 endpoint of the environment: {ALLOWED}\n"
    assert "secret" not in done.output + str(capfd.readouterr())


def test_words_of_an_error_leave_out_who_a_url_is_for():
    error = EndpointConnectionError(endpoint_url="http://user:sec/ret@127.0.0.1:9/bucket")
    assert in_words(error) == 'Could not connect to the endpoint URL: "http://127.0.0.1:9/bucket"'
