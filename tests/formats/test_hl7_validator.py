"""HL7's own validator has nothing against a bundle of MeasureReports, by what FHIR R4 itself asks for.

`pytest -m long tests/formats/test_hl7_validator.py` needs a JDK 17 and Maven, which fetches 63 jars. The guides' own
profiles and extensions are in none of them; what they ask for is held by `formats/vbpr_profiles.py`.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import orjson
import pytest

from tests.formats.test_vbpr import made

HL7 = Path(__file__).parent / "hl7"
UNKNOWN = {"Validation_VAL_Profile_Unknown", "Extension_EXT_Unknown", "Measure_MR_M_NotFound"}
"""What it does not know and so leaves alone: the guides' profiles and extensions, and measures that are ours."""
NO_NARRATIVE = "dom-6"


@pytest.mark.long
@pytest.mark.skipif(not (shutil.which("mvn") and shutil.which("javac")), reason="needs Maven and a JDK")
def test_hl7s_validator_finds_nothing_in_a_bundle_and_what_is_wrong_in_a_wrong_one(tmp_path: Path) -> None:
    jars = tmp_path / "jars"
    maven = ["mvn", "-q", "-f", str(HL7 / "pom.xml"), "dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
    subprocess.run(maven, check=True, timeout=1_500)
    wrong = made()
    wrong["entry"][2]["resource"]["reporter"]["reference"] = "Organization/reporter"
    wrong["entry"][3]["resource"]["group"][0]["population"][0]["count"] = "many"
    assert said(jars, tmp_path, orjson.dumps(made())) == []
    found = " ".join(said(jars, tmp_path, orjson.dumps(wrong)))
    assert "not a valid integer" in found and "Bundle resolution rules" in found


def said(jars: Path, folder: Path, document: bytes) -> list[str]:
    """What it has against a document that it knows of and that is more than advice."""
    (folder / "bundle.json").write_bytes(document)
    validate = ["java", "-Xmx1g", "-cp", f"{jars}/*", str(HL7 / "Validate.java"), str(folder / "bundle.json")]
    told = subprocess.run(validate, check=True, capture_output=True, text=True, timeout=600).stdout
    lines = [line.split("\t") for line in told.splitlines()]
    assert any(name == "Validation_VAL_Profile_Unknown" for _, name, _, _ in lines), "it read no MeasureReport"
    return [
        " ".join((severity, place, words))
        for severity, name, place, words in lines
        if name not in UNKNOWN and NO_NARRATIVE not in words
    ]
