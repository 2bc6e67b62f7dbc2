"""PRO-CTCAE 1.0: 124 items on 80 numbered terms, and the composite grade of each term (outcome rules B.2).

Scores are 0-4 (frequency never to almost constantly, severity none to very severe, interference and amount not at all
to very much) and 0/1 for presence. An answer of "not applicable", "not sexually active" or "prefer not to answer" is
missing. If the first item of a term is 0, the items after it were skipped by branching and are 0; nothing else is
imputed. A composite grade is 0 to 3 and never a CTCAE grade; terms of presence have none.

Source: NCI PRO-CTCAE item library 1.0; Basch et al. 2021 (179 combinations of answers), as in the CRAN package ProAE.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

INSTRUMENT: Final = "PRO-CTCAE"
VERSION: Final = "1.0"
RECALL_DAYS: Final = 7

Attribute = Literal["frequency", "severity", "interference", "amount", "presence"]

_LETTERS: Final[dict[str, Attribute]] = {
    "F": "frequency",
    "S": "severity",
    "I": "interference",
    "A": "amount",
    "P": "presence",
}
_SUFFIXES: Final[dict[str, Attribute]] = {
    "frq": "frequency",
    "sev": "severity",
    "int": "interference",
    "amt": "amount",
    "prs": "presence",
}

_TERMS: Final = """
1 dry-mouth S|2 difficulty-swallowing S|3 mouth-sores SI|4 cracking-at-the-corners-of-the-mouth S|5 voice-changes P|
6 hoarseness S|7 taste-changes S|8 decreased-appetite SI|9 nausea FS|10 vomiting FS|11 heartburn FS|12 flatulence P|
13 bloating FS|14 hiccups FS|15 constipation S|16 diarrhea F|17 abdominal-pain FSI|18 loss-of-bowel-control FI|
19 shortness-of-breath SI|20 cough SI|21 wheezing S|22 swelling FSI|23 heart-palpitations FS|24 rash P|25 dry-skin S|
26 acne S|27 hair-loss A|28 itching S|29 hives P|30 hand-foot-syndrome S|31 nail-loss P|32 nail-ridging P|
33 nail-discoloration P|34 sensitivity-to-sunlight P|35 bed-sores P|36 radiation-skin-reaction S|37 skin-darkening P|
38 stretch-marks P|39 numbness SI|40 dizziness SI|41 blurred-vision SI|42 flashing-lights P|43 visual-floaters P|
44 watery-eyes SI|45 ringing-in-ears S|46 concentration SI|47 memory SI|48 pain FSI|49 headache FSI|50 muscle-pain FSI|
51 joint-pain FSI|52 insomnia SI|53 fatigue SI|54 anxiety FSI|55 discouragement FSI|56 sadness FSI|
57 irregular-periods P|58 missed-periods P|59 vaginal-discharge A|60 vaginal-dryness S|61 painful-urination S|
62 urinary-urgency FI|63 urinary-frequency FI|64 urine-color-change P|65 urinary-incontinence FI|
66 erectile-difficulty S|67 ejaculation F|68 decreased-libido S|69 delayed-orgasm P|70 unable-to-orgasm P|
71 pain-with-intercourse S|72 breast-tenderness S|73 bruising P|74 chills FS|75 increased-sweating FS|
76 decreased-sweating P|77 hot-flashes FS|78 nosebleeds FS|79 injection-site-reaction P|80 body-odor S
"""

_ALSO_CALLED: Final = {
    "appetite": 8,
    "dyspnea": 19,
    "general-pain": 48,
    "numbness-tingling": 39,
    "neuropathy": 39,
    "sad": 56,
    "anxious": 54,
    "diarrhoea": 16,
    "mucositis": 3,
}


@dataclass(frozen=True, slots=True)
class Term:
    """A symptom: its number in the library, a name, and what is asked of it, in the order of the items A, B, C."""

    number: int
    name: str
    asks: tuple[Attribute, ...]

    @property
    def graded(self) -> bool:
        """Whether it has a composite grade."""
        return self.asks != ("presence",)


def _terms() -> Iterator[Term]:
    for entry in _TERMS.replace("\n", "").split("|"):
        number, name, letters = entry.split()
        yield Term(int(number), name, tuple(_LETTERS[letter] for letter in letters))


TERMS: Final[Mapping[int, Term]] = {term.number: term for term in _terms()}
_BY_NAME: Final = {term.name: term.number for term in TERMS.values()} | _ALSO_CALLED

Item = tuple[int, Attribute]
"""The number of a term, and what is asked of it."""

_NUMBERED: Final = re.compile(r"(?:pro-?ctcae)?[_-]?0*([0-9]{1,2})([a-c])(?:[_-](scl|ind|frq|sev|int|amt|prs))?", re.I)
_NAMED: Final = re.compile(r"([a-z-]+)-(frequency|severity|interference|amount|presence)", re.I)


def item_of(code: str) -> Item | None:
    """What a code asks: `PROCTCAE_48B_SCL`, `proctcae-48b-sev`, `48B` and `pain-severity` are one. None if unknown.

    A letter is the place in the term's order: 8A is severity, for appetite has no frequency.
    """
    if found := _NUMBERED.fullmatch(code):
        term = TERMS.get(int(found[1]))
        place = "abc".index(found[2].lower())
        if term is None or place >= len(term.asks):
            return None
        asked = term.asks[place]
        said = _SUFFIXES.get((found[3] or "").lower(), asked)
        alike = {"interference", "amount"}
        return (term.number, asked) if said == asked or {said, asked} == alike else None
    if found := _NAMED.fullmatch(code):
        named = TERMS.get(_BY_NAME.get(found[1].lower(), 0))
        for attribute in named.asks if named else ():
            if named and attribute == found[2].lower():
                return named.number, attribute
    return None


def most(attribute: Attribute) -> int:
    """The highest score of an item."""
    return 1 if attribute == "presence" else 4


# Composite grades. Each string is the grades by the last attribute, 0 to 4.

_ONE: Final = {"frequency": "01123", "severity": "01233", "interference": "01122", "amount": "01122"}
_FREQUENCY_SEVERITY: Final = ("00000", "11122", "11222", "11233", "11233")
_FREQUENCY_INTERFERENCE: Final = ("00000", "11122", "11122", "11233", "11233")
_SEVERITY_INTERFERENCE: Final = ("00000", "11122", "11223", "12233", "22233")
_ALL_THREE: Final = (
    ("00000", "00000", "00000", "00000", "00000"),
    ("01122", "11122", "12223", "22233", "22333"),
    ("01122", "11122", "22233", "22233", "22333"),
    ("11122", "11122", "22233", "22333", "22333"),
    ("11122", "11223", "22233", "22333", "22333"),
)


def composite(term: Term, answers: Mapping[Attribute, int | None]) -> int | None:
    """The grade 0-3 of a term by its answers; None when one is missing or the term has none.

    Pain of frequency 3, severity 2, interference 1 is 2. Nausea of frequency 0, severity not asked, is 0.
    """
    if not term.graded:
        return None
    first = answers.get(term.asks[0])
    given = [answers.get(attribute) for attribute in term.asks]
    if first == 0:
        given = [0 if answer is None else answer for answer in given]
    scores = [answer for answer in given if answer is not None]
    if len(scores) < len(given):
        return None
    match term.asks:
        case (only,):
            return int(_ONE[only][scores[0]])
        case ("frequency", "severity"):
            return int(_FREQUENCY_SEVERITY[scores[0]][scores[1]])
        case ("frequency", "interference"):
            return int(_FREQUENCY_INTERFERENCE[scores[0]][scores[1]])
        case ("severity", "interference"):
            return int(_SEVERITY_INTERFERENCE[scores[0]][scores[1]])
        case _:
            return int(_ALL_THREE[scores[0]][scores[1]][scores[2]])


def by_term(answers: Iterable[tuple[Item, int | None]]) -> dict[int, dict[Attribute, int | None]]:
    """Answers gathered by term, terms in order."""
    found: dict[int, dict[Attribute, int | None]] = {}
    for (number, attribute), score in answers:
        found.setdefault(number, {})[attribute] = score
    return dict(sorted(found.items()))
