"""How the page of a backtest looks."""

STYLE = """
:root { --ink: #1c2733; --soft: #5c6b7a; --line: #d9e0e7; --paper: #ffffff; --tint: #f4f6f8;
  --ours: #1f5fa8; --fraud: #b3382c; --genuine: #9db4cc; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 1240px; color: var(--ink);
  background: var(--paper); font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0 0 .2rem; } p { margin: .3rem 0 .8rem; max-width: 76ch; }
.soft, figcaption, .unit { color: var(--soft); font-size: .88rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(240px, 1fr)); gap: .8rem;
  margin: 1.2rem 0; }
.tile { background: var(--tint); border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem; }
.tile b { display: block; font-size: 1.55rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(500px, 1fr)); gap: 1.2rem; }
figure { margin: 0; border: 1px solid var(--line); border-radius: 8px; padding: 1rem; }
figcaption { margin-top: .4rem; } svg { width: 100%; height: auto; display: block; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .32rem .6rem;
  border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; font-size: .85rem; }
th.left, td.left { text-align: left; } .wide { overflow-x: auto; }
td.reasons { text-align: left; min-width: 24rem; }
.for { color: var(--fraud); } .against { color: var(--ours); }
tr.first td { border-top: 2px solid var(--soft); }
svg text { font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--ink); }
svg .tick { fill: var(--soft); font-size: 11px; } svg .grid { stroke: var(--line); stroke-width: 1; }
svg .axis { stroke: var(--soft); stroke-width: 1; } svg polyline { fill: none; }
svg .ours { stroke: var(--ours); stroke-width: 2.2; }
svg .rival { stroke-width: 1.8; } svg .rival0 { stroke: #c46a12; stroke-dasharray: 7 4; }
svg .rival1 { stroke: #3f7d3b; stroke-dasharray: 2 3; }
svg .rival2 { stroke: #7a4ba8; stroke-dasharray: 9 3 2 3; }
svg .ideal { stroke: var(--soft); stroke-width: 1.4; stroke-dasharray: 5 4; }
svg .whisker { stroke: var(--ours); stroke-width: 1.4; }
svg .mark { fill: var(--ours); stroke: var(--paper); stroke-width: 1; }
svg rect.fraud { fill: var(--fraud); } svg rect.genuine { fill: var(--genuine); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; } dt { color: var(--soft); }
dd { margin: 0; }
@media print { figure, .tile, tr { break-inside: avoid; } }
"""
