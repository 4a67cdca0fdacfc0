"""The figures, one module each; they read only tables, and write a CSV of what they draw.

Every module has `collect` (tables to the drawn rows), `draw` (tables to a Figure) and `save`
(tables to files): `fig2_decay`, `fig3_phase`, `fig4_c_star` and `curves`.
"""
