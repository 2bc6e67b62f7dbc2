"""The library of Standard Webhooks for JavaScript accepts what is sent, and refuses it changed."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from gateway.signing import headers, new_secret

LIBRARY = "standardwebhooks@1.1.1"
PROGRAM = """
const { Webhook } = require("standardwebhooks");
const sent = JSON.parse(require("fs").readFileSync(0, "utf8"));
const said = sent.map(({ secret, body, headers }) => {
  try { new Webhook(secret).verify(body, headers); return "accepted"; } catch (error) { return "refused"; }
});
console.log(JSON.stringify(said));
"""


def test_the_javascript_library_verifies_our_signatures(tmp_path: Path) -> None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("there is no node on this machine")
    try:
        got = subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts", LIBRARY],
            cwd=tmp_path, capture_output=True, check=False, timeout=120,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        pytest.skip("the registry of packages does not answer")
    if got.returncode:
        pytest.skip("the registry of packages has no such library")
    old, new, other = new_secret(), new_secret(), new_secret()
    body = '{"id":"1","data":{"name":"é"}}'.encode()
    told = headers([Webhook(new), Webhook(old)], "1", datetime.now(UTC), body)
    sent = [
        {"secret": secret, "body": text, "headers": told}
        for secret, text in (
            (new, body.decode()),
            (old, body.decode()),
            (other, body.decode()),
            (new, body.decode() + " "),
        )
    ]
    (tmp_path / "verify.js").write_text(PROGRAM, encoding="utf-8")
    ran = subprocess.run(
        [node, "verify.js"],
        cwd=tmp_path,
        input=json.dumps(sent),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert json.loads(ran.stdout) == ["accepted", "accepted", "refused", "refused"]
