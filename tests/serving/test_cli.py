"""emo-serve's command line: options, environment variables, warnings."""

import httpx2 as httpx
import pytest
from click.testing import CliRunner

from emo_serving.cli import main
from helpers.processes import run_python
from helpers.servers import running_server


@pytest.mark.parametrize(
    "options",
    [
        ["--ray", "--threads", "2"],
        ["--ray", "--unix-socket", "s"],
        ["--ray", "--proxy-headers", "10.0.0.1"],
        ["--ray", "--max-connections", "10"],
        ["--min-replicas", "1"],
        ["--max-replicas", "4"],
    ],
)
def test_options_of_the_other_way_to_serve_are_refused(options):
    refused = CliRunner().invoke(main, options)
    assert refused.exit_code == 2
    assert "--ray" in refused.stderr


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--min-replicas", "5", "--ray"], "must not exceed"),
        (["--tls-cert", __file__], "--tls-key"),
        (["--proxy-headers", "proxy.example"], "give an IP address"),
        (["--proxy-headers", "10.0.0.1/8"], "give an IP address"),
        (["--max-connections", "0"], "range"),
    ],
)
def test_wrong_options_are_refused(options, reason):
    refused = CliRunner().invoke(main, options)
    assert refused.exit_code == 2
    assert reason in refused.stderr


@pytest.mark.parametrize("content", ["", " \n"])
def test_an_empty_token_file_is_refused(tmp_path, content):
    (tmp_path / "token").write_text(content, encoding="utf-8")
    done = run_python("-m", "emo_serving.cli", "--token-file", str(tmp_path / "token"))
    assert done.returncode == 1
    assert "is empty" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_twilio_token_file_has_one_token(tmp_path):
    file = tmp_path / "tokens.toml"
    file.write_text("".join(f'[[tokens]]\nname = "{name}"\ntoken = "{name}"\n' for name in "ab"))
    refused = CliRunner().invoke(main, ["--twilio-auth-token-file", str(file)])
    assert refused.exit_code == 2
    assert "several tokens" in refused.stderr


def test_options_and_the_token_come_from_the_environment():
    variables = {
        "EMO_SERVE_TOKEN": "s3creto",
        "EMO_SERVE_HOST": "0.0.0.0",
        "EMO_SERVE_MAX_STREAMS": "7",
        "EMO_SERVE_ALLOWED_HOSTS": "emo.example other.example",
    }
    with running_server(**variables) as server:
        assert httpx.get(server.url + "v1/bundle").status_code == 421
        headers = {"host": "other.example"}
        assert httpx.get(server.url + "v1/bundle", headers=headers).status_code == 401
        headers |= {"authorization": "Bearer s3creto"}
        described = httpx.get(server.url + "v1/bundle", headers=headers).json()
        assert described["limits"]["streams"] == 7
        assert not any("Warning" in line for line in server.log)


def test_a_server_open_to_other_machines_without_a_token_warns():
    with running_server("--host", "0.0.0.0") as server:
        assert server.log[0].startswith("Warning: 0.0.0.0 is open")
