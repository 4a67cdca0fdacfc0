"""The look of the verdict's page.  All rules hold within .prehoc, so that a notebook keeps its own."""

STYLE = """
.prehoc { --ink: #1c1c1c; --soft: #5a5a5a; --paper: #ffffff; --line: #d5d5d5; --shade: #f4f4f2;
  --warn: #9c3d00; --warn-shade: #fdf0e6; --link: #005a8c;
  --static: #00704f; --dynamic: #0072b2; --noise: #b34d00; --open: #6b6b6b;
  box-sizing: border-box; max-width: 58rem; margin: 0 auto; padding: 1rem;
  color: var(--ink); background: var(--paper);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
body:has(> .prehoc) { margin: 0; background: #ffffff; }
@media (prefers-color-scheme: dark) {
  .prehoc { --ink: #e8e8e6; --soft: #b0b0ac; --paper: #191a1b; --line: #46484a; --shade: #242628;
    --warn: #ffb37a; --warn-shade: #35271c; --link: #7cc4ee;
    --static: #46c79f; --dynamic: #5fb4ea; --noise: #f0955a; --open: #a5a5a5; }
  body:has(> .prehoc) { background: #191a1b; }
}
.prehoc h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere; }
.prehoc h2 { font-size: 1.25rem; line-height: 1.3; margin: 2rem 0 .5rem; overflow-wrap: anywhere; }
.prehoc h3 { font-size: 1rem; margin: 1.25rem 0 .25rem; }
.prehoc p { margin: .25rem 0; max-width: 46rem; }
.prehoc a { color: var(--link); }
.prehoc article { border-top: 1px solid var(--line); margin-top: 2rem; }
.prehoc footer { border-top: 1px solid var(--line); margin-top: 2rem; padding-top: .5rem; }
.prehoc article h2 { margin-top: 1rem; }
.prehoc .about, .prehoc .note, .prehoc figcaption { color: var(--soft); }
.prehoc .about, .prehoc .note, .prehoc figcaption, .prehoc table { font-size: .9rem; }
.prehoc .headline { font-size: 1.1rem; font-weight: 600; margin: .5rem 0 .75rem; padding-left: .75rem;
  border-left: .3rem solid var(--open); }
.prehoc .headline.static_sufficient { border-color: var(--static); }
.prehoc .headline.dynamic_critical { border-color: var(--dynamic); }
.prehoc .headline.noise_dominant { border-color: var(--noise); }
.prehoc .headline.refused { border-color: var(--warn); }
.prehoc .alert { background: var(--warn-shade); border: 1px solid var(--warn); border-radius: .3rem;
  padding: .5rem .75rem; margin: .5rem 0; max-width: 46rem; overflow-wrap: anywhere; }
.prehoc .alert strong { color: var(--warn); }
.prehoc dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .15rem 1rem;
  margin: .25rem 0; max-width: 50rem; }
.prehoc dt { font-weight: 600; }
.prehoc dd { margin: 0; overflow-wrap: anywhere; }
.prehoc ul { margin: .25rem 0; padding-left: 1.25rem; max-width: 46rem; }
.prehoc li { overflow-wrap: anywhere; }
.prehoc .wide { overflow-x: auto; }
.prehoc table { border-collapse: collapse; margin: .5rem 0; font-variant-numeric: tabular-nums; }
.prehoc caption { text-align: left; color: var(--soft); padding-bottom: .25rem; }
.prehoc th, .prehoc td { padding: .2rem .75rem .2rem 0; text-align: right; vertical-align: top;
  border-bottom: 1px solid var(--line); white-space: nowrap; }
.prehoc thead th { color: var(--soft); font-weight: 600; }
.prehoc th:first-child { text-align: left; }
.prehoc tbody th { font-weight: 400; }
.prehoc figure { margin: 1rem 0; }
.prehoc figure img { display: block; width: 100%; min-width: 38rem; background: #ffffff; }
@media (max-width: 34rem) {
  .prehoc dl { display: block; }
  .prehoc dd { margin: 0 0 .4rem; }
}
@media print {
  .prehoc { --ink: #000000; --soft: #444444; --paper: #ffffff; --line: #bbbbbb; --warn: #7a2e00;
    --warn-shade: #ffffff; --link: #000000; max-width: none; padding: 0; font-size: 10pt; }
  body:has(> .prehoc) { background: #ffffff; }
  .prehoc .wide { overflow: visible; }
  .prehoc figure img { min-width: 0; }
  .prehoc th, .prehoc td { white-space: normal; }
  .prehoc figure, .prehoc tr, .prehoc .alert { break-inside: avoid; }
  .prehoc h2, .prehoc h3 { break-after: avoid; }
}
"""
