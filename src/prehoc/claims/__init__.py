"""The paper's claims E1-E7 against criteria that the config fixed before the run (docs/claims.md)."""
