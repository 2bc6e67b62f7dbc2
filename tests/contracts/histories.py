"""Random histories of one member over three years: claims, their voids and replacements, coverage, death, time."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st

from tests.contracts.given import BREAST_FILL, OTHER_FILL, Data, Log, Teller, later

FIRST = date(2023, 5, 15)
DAYS = 3 * 365
ANDROGEN_FILL = "00023590211"


def day(offset: int) -> str:
    """A day of the three years."""
    return (FIRST + timedelta(days=offset)).isoformat()


STEPS = (0, 0, 1, 15, 30, 59, 60, 61, 90, 150, 180, 181, 182, 183, 184, 185, 215, 243, 244, 274)
days = st.one_of(
    st.integers(0, DAYS).map(day),
    st.builds(lambda from_, step: day(from_ + step), st.sampled_from([46, 47, 290, 560, 597]), st.sampled_from(STEPS)),
    st.builds(lambda from_, step: day(from_ + step), st.sampled_from([290, 597]), st.sampled_from(STEPS)),
)
"""Any day; more often days at and beside the edges of episodes and look-backs that begin on a few chosen days."""
dollars = st.sampled_from([0, 49, 98, 98, 196.5])
ndcs = st.sampled_from([OTHER_FILL, BREAST_FILL, ANDROGEN_FILL])
cancers = st.sampled_from(["C50911", "C50911", "C3490", "C61", "I10"])
practices = st.sampled_from(["P1", "P1", "P2", "P3"])

professional: st.SearchStrategy[Data] = st.fixed_dictionaries(
    {"on": days, "kind": st.sampled_from(["drug", "visit", "visit", "meos"]), "paid": dollars, "dx": cancers},
    optional={
        "at": practices,
        "code": st.sampled_from(["J9217", "Q2041", "96413"]),
        "lines": st.just([{}, {"code": "99213", "paid": 49}]),
        "denied": st.just(True),
        "supplier": st.just("dmepos"),
    },
)
drug: st.SearchStrategy[Data] = st.fixed_dictionaries(
    {"on": days, "kind": st.just("drug"), "paid": dollars, "allowed": st.just(10), "dx": cancers}
)
office: st.SearchStrategy[Data] = st.fixed_dictionaries(
    {"on": days, "kind": st.sampled_from(["visit", "meos"]), "paid": dollars, "dx": cancers, "at": practices}
)
facility: st.SearchStrategy[Data] = st.fixed_dictionaries(
    {"on": days, "kind": st.sampled_from(["outpatient", "inpatient"]), "paid": dollars, "dx": cancers},
    optional={"code": st.sampled_from(["J9035", "J9217", "Q2041"])},
)
fill: st.SearchStrategy[Data] = st.fixed_dictionaries(
    {
        "on": days,
        "kind": st.just("fill"),
        "ndc": ndcs,
        "low_income_subsidy": dollars,
        "above_threshold": dollars,
        "paid": dollars,
    }
)
claim = st.one_of(drug, office, professional, facility, fill)
fate = st.sampled_from(
    ["", "", "", "", "", "", "", "void", "unnamed", "replace", "twin", "twin unnamed", "line", "replace void"]
)


@st.composite
def course(draw: st.DrawFn) -> list[Data]:
    """Therapy with a visit and some months of services at one practice, from one of the chosen days on."""
    start = draw(st.sampled_from([46, 47, 290, 560, 597])) + draw(st.sampled_from(STEPS))
    dx, at = draw(st.sampled_from(["C50911", "C3490", "C61"])), draw(practices)
    begun: Data = {"on": day(start), "kind": "drug", "dx": dx, "paid": 98, "at": at}
    if draw(st.booleans()):
        begun = {"on": day(start), "kind": "fill", "ndc": draw(ndcs), "paid": 98, "low_income_subsidy": 49}
    seen = start + draw(st.sampled_from([-60, -59, -1, 0, 0, 1, 30]))
    made = [begun, {"on": day(seen), "kind": "visit", "dx": dx, "at": at}]
    made.append({"on": day(start + draw(st.integers(0, 60))), "kind": "visit", "dx": dx, "at": at})
    for month in draw(st.lists(st.integers(0, 6), max_size=7, unique=True)):
        made.append({"on": day(start + 30 * month + draw(st.integers(0, 3))), "kind": "meos", "dx": dx, "at": at})
    return made


def short(spec: Data, **more: Any) -> Data:
    """A drawn claim in the words of `Teller`."""
    rest = {key: value for key, value in spec.items() if key not in ("on", "kind")}
    return {spec["kind"]: spec["on"], **rest, **more}


@st.composite
def claims(draw: st.DrawFn, most: int = 6) -> list[Data]:
    """Courses, up to `most` other claims, and their fate; each record of a claim has a version day of its own."""
    told: list[Data] = []
    specs = [spec for made in draw(st.lists(course(), min_size=1, max_size=2)) for spec in made]
    specs += draw(st.lists(claim, max_size=most))
    for i, spec in enumerate(specs):
        what = draw(fate)
        name = f"c{i}"
        version = [day(DAYS + 40 * i + n) for n in range(4)]
        told.append(short(spec, id=name, effective=version[0]))
        if "twin" in what:
            told.append(short(spec, id=f"{name}t", family=name, effective=version[1]))
        if "unnamed" in what:
            told.append({"void": name, "unnamed": True, "id": f"{name}v", "effective": version[2]})
        elif what == "void":
            told.append({"void": name, "id": f"{name}v", "effective": version[2]})
        elif what == "line" and spec["kind"] in ("drug", "visit", "meos"):
            told.append({"void": name, "only": [1], "id": f"{name}v", "effective": version[2]})
        elif "replace" in what:
            newer = draw(claim)
            told.append({"replace": name, **short(newer), "id": f"{name}r", "effective": version[2]})
            if "void" in what:
                told.append({"void": f"{name}r", "id": f"{name}v", "effective": version[3]})
    return told


world: st.SearchStrategy[Data] = st.one_of(
    st.builds(
        lambda kind, start, length, has, code: {
            "covered" if has else "uncovered": kind,
            "from": start,
            "through": None if length == 0 else (date.fromisoformat(start) + timedelta(days=length)).isoformat(),
            **({"code": code} if kind == "dual" else {}),
        },
        st.sampled_from(["part_a", "part_b", "plan", "dual", "dual", "hospice", "esrd"]),
        days,
        st.sampled_from([0, 1, 60, 300]),
        st.booleans(),
        st.sampled_from(["02", "03"]),
    ),
    st.builds(lambda on: {"died": on}, days),
    st.builds(lambda on: {"closed": on}, days),
    st.builds(lambda on: {"closed": on}, days),
    st.builds(lambda who, on, has: {"practice": who, "from": on, "participates": has}, practices, days, st.booleans()),
    st.just({"retired": "m2"}),
)
RECORDS = st.integers(0, 3).map(lambda n: f"r{n}")
VERSIONS = st.integers(1, 3)


@st.composite
def work(draw: st.DrawFn, most: int = 8) -> list[Data]:
    """Weeks of hours, a leave, and other records of work around one of the chosen days, each version a record once."""
    start = draw(st.sampled_from([46, 47, 290, 560, 597])) + draw(st.sampled_from(STEPS))
    away = start + draw(st.sampled_from([-31, -30, -5, 3, 20, 180, 181]))
    back = away + draw(st.sampled_from([6, 7, 30, 80, 112, 140]))
    told: list[Data] = [{"schedule": day(start - 400), "hours": draw(st.sampled_from([40, 32, 0])), "id": "s0"}]
    if draw(st.booleans()):
        told.append({"workdays": day(max(away - 60, 0)), "through": day(away - 1), "id": "b"})
    told.append({"leave": day(away), "through": draw(st.sampled_from([None, day(back - 1)])), "id": "L0"})
    if draw(st.booleans()):
        worked = draw(st.sampled_from([8, "7.6", "7.5999", 4]))
        last = back + draw(st.sampled_from([3, 30, 45, 110]))
        told.append({"workdays": day(back), "through": day(last), "worked": worked, "id": "a"})
    more: st.SearchStrategy[Data] = st.one_of(
        st.builds(
            lambda on, v, name, code: {"hours": on, "v": v, "id": name, "worked": 6, "code": code},
            days, VERSIONS, RECORDS, st.sampled_from(["worked", "leave", "intermittent_leave"]),
        ),
        st.builds(
            lambda on, v, length, status: {
                "leave": on, "v": v, "id": "L0", "through": later(on, length), "status": status,
            },
            days, VERSIONS, st.sampled_from([4, 6, 60]), st.sampled_from(["changed", "denied"]),
        ),
        st.builds(
            lambda n, v, name, source, duty: {
                "reported": day(back + n), "v": v, "id": name, "source": source, "duty": duty,
            },
            st.sampled_from([0, 7, 8, 40]), VERSIONS, RECORDS, st.sampled_from(["carrier", "hris", "epro"]),
            st.sampled_from(["full", "partial_hours", "off"]),
        ),
        st.builds(
            lambda n, plan, name: {"disability": day(back + n), "plan": plan, "id": name},
            st.sampled_from([1, 27, 28, 90, 91]), st.sampled_from(["STD", "LTD"]), st.sampled_from(["D0", "D1"]),
        ),
        st.builds(
            lambda n, status, name: {"employment": day(back + n), "status": status, "id": name},
            st.sampled_from([-20, 0, 27, 28]), st.sampled_from(["retired", "laid_off"]), st.sampled_from(["E0", "E1"]),
        ),
        st.builds(lambda year: {"born": year}, st.sampled_from([1950, 1980])),
    )  # fmt: skip
    taken = {_version(one) for one in told}
    told += [one for one in draw(st.lists(more, max_size=most, unique_by=_version)) if _version(one) not in taken]
    return told


def _version(one: Data) -> tuple[str, str, int]:
    """What a record is and which version: there is one of each, or which came first would matter."""
    kind = next(iter(one))
    return kind, str(one.get("id", one[kind])), one.get("v", 1)


contracts = st.sampled_from(["medicare-eom", "medicare-eom", "bcbs-sc", "employer"])


def told_in(order: list[Any], told: list[Data], contract: str) -> list[Any]:
    """What the claims say, in another order; a void or replacement still knows the claim that it names."""
    said = Teller(contract, told).tell()
    return [said[i] for i in order]


@st.composite
def logs(draw: st.DrawFn, *, most: int = 6, events: int = 6) -> Log:
    """A whole log: an opening, then claims out of order with coverage, deaths, closed days and practices between."""
    contract = draw(contracts)
    told = draw(claims(most))
    said = Teller(contract, told).tell()
    said += [Teller(contract, [one]).tell()[0] for one in draw(st.lists(world, max_size=events))]
    if contract == "employer":
        said += Teller(contract, draw(work())).tell()
    log = Log(contract).opened().enrolled()
    for i in draw(st.permutations(range(len(said)))):
        log.say(*said[i])
    return log


@st.composite
def employees(draw: st.DrawFn) -> Log:
    """A log of an employer's member: claims, work, coverage and time, in any order."""
    said = Teller("employer", draw(claims(2))).tell() + Teller("employer", draw(work())).tell()
    said += [Teller("employer", [one]).tell()[0] for one in draw(st.lists(world, max_size=4))]
    log = Log("employer").opened().enrolled()
    for i in draw(st.permutations(range(len(said)))):
        log.say(*said[i])
    return log
