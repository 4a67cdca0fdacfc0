"""From a person's own runs to tables, figures and a verdict: `prehoc fit`."""
