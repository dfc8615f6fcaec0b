"""Off-policy evaluation: what another strategy would have earned, estimated from a log of pages with propensities."""
