"""What an employer measures of cancer care: one small pure function for each metric, over plain records.

`reading` makes the records out of the facts of a log up to a cut, `catalogue` names the metrics with their dated
definitions, `report` puts a period's figures together. Numbers are those of the outcome rules A.8: M1 to M20, and M21
biosimilar tier parity, M22 medical homes, M23 experience of care. Nothing here decides what may leave: that is the
disclosure gate's.
"""
