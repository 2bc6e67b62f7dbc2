"""How a payment and an episode are told to a reader: in words, with clause, dated value, arithmetic and positions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.employer_pages import waits
from gateway.settlement_pages import PLAIN

ILLUSTRATIVE = "illustrative value, not the payer's"
REASONS = {
    "before_model": "it began before the model",
    "after_model": "it began after the model's last day",
    "before_contract": "it began before the contract",
    "after_contract": "it began after the contract's last day",
    "after_death": "it began after the death that is known",
    "car_t": "a cell therapy was given in it",
    "part_a": "Part A did not cover every day of it",
    "part_b": "Part B did not cover every day of it",
    "medicare_advantage": "Medicare Advantage covered some of it",
    "esrd": "end-stage renal disease coverage fell into it",
    "other_primary": "another payer came first in it",
    "medicare_first": "Medicare came first on a day of it",
    "plan": "the plan did not cover every day of it",
    "no_em_visit": "there is no visit for the cancer in it",
    "trigger_moved": "its first therapy is gone, or an earlier episode covers it",
    "member_retired": "its member's facts are now another's",
    "low_risk_breast": "only endocrine therapy was given for breast cancer",
    "low_intensity_prostate": "only androgen therapy was given for prostate cancer",
}


def dollars(cents: int) -> str:
    """`-$1,234.56`"""
    return f"{'-' if cents < 0 else ''}${abs(cents) // 100:,}.{abs(cents) % 100:02d}"


def tell_payment(why: Mapping[str, Any], brief: bool = False) -> Iterator[str]:
    """The lines of text that explain a payment; `brief` for a screen that shows more than one thing."""
    word = "by" if why["amount_cents"] < 0 and not why["reverses"] else "to"
    to = f" {word} practice {why['practice']}" if why["practice"] else ""
    what = "takes back" if why["reverses"] else "owes" if why["amount_cents"] >= 0 else "is owed"
    yield f"{why['payer']} {what} {dollars(abs(why['amount_cents']))}{to}: {why['kind']} for {why['period']}"
    of = f", episode {why['episode_id']}, member {why['member']}" if why["member"] else ""
    yield f"payment {why['payment_id']}{of}"
    yield f"because of: {why['cause_kind'].replace('_', ' ')} (event {why['cause']})"
    for name, words in (("reverses", "reverses"), ("supersedes", "in place of"), ("reversed_by", "REVERSED by")):
        if why[name]:
            yield f"{words} payment {why[name]}"
    yield ""
    for line in why["lines"]:
        yield f"  {dollars(line['amount_cents']):>12}  {line['label']}  [{line['clause']}]"
        yield f"                {line['arithmetic']}"
        for term in line["terms"]:
            mark = f"  ** {ILLUSTRATIVE} **" if term["illustrative"] else ""
            yield f"                {term['name']} = {term['value']} {term['unit']} from {term['from']}{mark}"
            yield f"                  dated by {term['dated_by']}; source: {term['source']}"
    yield f"  {dollars(why['amount_cents']):>12}  in all"
    yield ""
    yield "It rests on these facts:"
    for fact in why["facts"]:
        if brief:
            yield f"  {fact['says']}  ({fact['topic']}[{fact['partition']}] offset {fact['offset']})"
            continue
        yield f"  {fact['says']}"
        yield f"    {fact['topic']}[{fact['partition']}] offset {fact['offset']}, event {fact['event_id']}"
    if not brief:
        yield from _tell_life(why.get("life"))
    contract = why["contract"]
    yield f"under {contract['id']}, terms {contract['version']}, clauses {contract['digest'][:16]}"
    at = why["as_of"][0]
    yield f"as known at {at['topic']}[{at['partition']}] offset {at['offset']}"


def _tell_life(life: Mapping[str, Any] | None) -> Iterator[str]:
    """What became of a payment; nothing is said of a reversal, which is told with what it reverses."""
    if life is None:
        return
    yield ""
    yield f"What became of it: {in_words(life['status'])}; open {dollars(life['open_cents'])}"
    for one in life["moves"]:
        because = f", {one['reason']}" if one["reason"] else ""
        trace = f", trace {one['trace']}" if one["trace"] else ""
        place = f"{one['topic']}[{one['partition']}] offset {one['offset']}"
        yield f"  {one['on']} {one['kind']} {dollars(one['amount_cents'])} ({one['source']}{trace}{because}) at {place}"
    yield ""


def tell_episode(why: Mapping[str, Any]) -> Iterator[str]:
    """The lines of text that explain an episode."""
    cancer = f" of {why['cancer_type']} cancer".replace("_", " ") if why["cancer_type"] else ""
    yield f"{why['status']} episode{cancer}, {why['started_on']} to {why['ends_on']} ({why['payer']})"
    yield f"episode {why['episode_id']}, version {why['version']}, member {why['member']}"
    if why["practice"]:
        yield f"practice {why['practice']}, performance period {why['performance_period']}"
    if why["void_reason"]:
        yield f"{why['status']}: {in_words(why['void_reason'])}"
    if why["exclusion"]:
        yield f"not counted: {in_words(why['exclusion'])}"
    yield f"expenditure {dollars(why['expenditure_cents'])}; payments in force {dollars(why['payments_cents'])}"
    yield ""
    yield "Versions:"
    for version in why["versions"]:
        at = version["position"]
        reason = version["void_reason"] or version["exclusion"]
        because = f", {in_words(reason)}" if reason else ""
        closed = ", closed" if version["closed"] else ""
        yield f"  {version['version']}. {version['status']}{because}{closed}"
        yield f"     by event {version['cause']} at {at['topic']}[{at['partition']}] offset {at['offset']}"
    yield ""
    yield "Claims of the member:"
    for claim in why["claims"]:
        counted = f"{claim['lines_counted']} of {claim['lines']} lines count"
        mark = "IN " if claim["in"] else "out"
        yield f"  {mark} {claim['claim_id']} ({claim['action']}, {counted}): {claim['reason']}"
        yield f"      {claim['topic']}[{claim['partition']}] offset {claim['offset']}"
    yield ""
    yield "Payments in force:" if why["payments"] else "No payment is in force."
    for payment in why["payments"]:
        yield f"  {dollars(payment['amount_cents']):>12}  {payment['kind']} for {payment['period']}"
        yield f"                payment {payment['payment_id']}"
    for one in why["waits"]:
        yield f"waits: {one['kind']}{' for ' if one['period'] else ''}{one['period']}: {one['reason']}"
    for one in why["at_risk"]:
        why_so = in_words(one["reason"])
        yield f"at risk: {dollars(one['at_risk_cents'])} paid for {one['period']} would come back, {why_so}"


def tell_fact(fact: Mapping[str, Any]) -> Iterator[str]:
    """The lines of text that tell what followed from a fact."""
    at = fact["positions"][0]
    yield f"{fact['type']} of {fact['payer']}" + (f", member {fact['member']}" if fact["member"] else "")
    yield f"event {fact['event_id']}, known since {fact['known_at']}"
    yield f"  at {at['topic']}[{at['partition']}] offset {at['offset']}" + (
        f" and in {len(fact['positions']) - 1} other partitions" if len(fact["positions"]) > 1 else ""
    )
    yield ""
    yield "Episodes it moved:" if fact["episodes"] else "It moved no episode."
    for episode in fact["episodes"]:
        yield f"  {episode['episode_id']}: spending {dollars(episode['spend_cents'])}"
        for version in episode["versions"]:
            because = f", {in_words(version['reason'])}" if version["reason"] else ""
            yield f"    made version {version['version']}: {version['status']}{because}"
    yield ""
    yield f"Payments it caused, {dollars(fact['payments_cents'])} in all:" if fact["tree"] else "It caused no payment."
    for payment in fact["tree"]:
        yield from _tell_branch(payment, 1)
    if fact["rests_on_it"]:
        yield f"{len(fact['rests_on_it'])} other payments rest on it:"
        for payment in fact["rests_on_it"]:
            yield f"  {dollars(payment['amount_cents']):>12}  {payment['kind']} for {payment['period']}"
            yield f"                payment {payment['payment_id']}"
    for settlement in fact["settlements"]:
        yield f"counted in the {settlement['run']} run of period {settlement['period']}, {settlement['practice']}"
    for work in fact["returns_to_work"]:
        day = f", {work['returned_on']}" if work["returned_on"] else ""
        yield f"return to work in {work['episode_id']}: version {work['version']}, {work['status']}{day}"
    for release in fact["releases"]:
        yield f"known to release {release['ordinal']} to {release['plan']}, window of {release['window_on']}"


def _tell_branch(payment: Mapping[str, Any], depth: int) -> Iterator[str]:
    pad = "  " * depth
    yield f"{pad}{dollars(payment['amount_cents']):>12}  {payment['kind']} for {payment['period']}"
    yield f"{pad}              payment {payment['payment_id']}, by event {payment['cause']}"
    for later in payment["then"]:
        yield from _tell_branch(later, depth + 1)


def in_words(reason: str) -> str:
    """A reason's code as a sentence's end."""
    return waits(reason) if ":" in reason else REASONS.get(reason) or PLAIN.get(reason, reason.replace("_", " "))


def tell_settlement(answer: Mapping[str, Any]) -> Iterator[str]:
    """The lines of text that show the answer to a reconciliation request."""
    yield f"{answer['payer']}: performance period {answer['period']}, {answer['run']} run"
    yield f"request {answer['request_id']}"
    cut = ", ".join(f"{partition}: {offset}" for partition, offset in sorted(answer["cut"].items(), key=_number))
    yield f"as of the log's next offsets {cut}"
    if not answer["settlements"]:
        yield "no practice has an episode of this period"
    for one in answer["settlements"]:
        yield ""
        under = f" under {one['plan']}" if one.get("plan") else ""
        yield f"  practice {one['practice'] or '(none attributed)'}{under}"
        yield f"    {one['episodes']} valid episodes, {one['included']} counted"
        yield f"    expenditure {dollars(one['expenditure_cents'])}; payments {dollars(one['payments_cents'])}"
        yield from _result(one)
        for reason in one["pending"]:
            yield f"    pending: {in_words(reason)}"
        for reason in one.get("said", ()):
            yield f"    {in_words(reason)}"


def _result(one: Mapping[str, Any]) -> Iterator[str]:
    """What a settled period comes to for a practice."""
    if "moved" not in one:
        return
    group, pool = one["group"], f" (pool {one['pool']})" if one["pool"] else ""
    expected = "benchmark" if group else "target"
    if group or one.get("plan"):
        yield f"    {expected} {dollars(one['benchmark_cents'])}, counted {dollars(one['actual_cents'])}{pool}"
    if group and group["zone"]:
        yield (
            f"    {group['arrangement']}: target {dollars(group['target_cents'])}, threshold"
            f" {dollars(group['threshold_cents'])}, zone {group['zone']}; quality {group['quality_score']} %"
        )
    for payment in one["moved"]:
        what = f"takes back {payment['reverses']}" if payment["reverses"] else f"payment {payment['payment_id']}"
        yield f"    {dollars(payment['amount_cents']):>12}  {payment['kind']}, {what}"
    if one["illustrative"]:
        yield f"                ** {ILLUSTRATIVE}: some terms are open or illustrative **"


def _number(item: tuple[str, int]) -> int:
    return int(item[0])
