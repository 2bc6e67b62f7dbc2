"""How each contract settles a period, by its name. Employers' plans settle by clauses of their own."""

from __future__ import annotations

from contracts import bcbs_sc, bcbs_sc_period, eom, eom_period, ocm, ocm_period
from contracts.settled import Method

METHODS: dict[str, Method] = {
    eom.CONTRACT: eom_period.METHOD,
    ocm.CONTRACT: ocm_period.METHOD,
    bcbs_sc.CONTRACT: bcbs_sc_period.METHOD,
}
