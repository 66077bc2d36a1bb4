"""The page around a report: its style, and the script that draws its charts in the reader's colours."""

STYLE = """
:root { color-scheme: light dark; --page: #f6f6f3; --card: #ffffff; --ink: #1d2126; --soft: #5c636d; --line: #dedfdb;
  --promote: #1d7a4c; --hold: #946200; --reject: #b3372f; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --card: #1d2125; --ink: #e8eaed; --soft: #a3abb5;
  --line: #353b42; --promote: #5fcb95; --hold: #e5b454; --reject: #f08a82; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1.25rem 1rem 3rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 0 0 .25rem; }
p { margin: .25rem 0 .5rem; overflow-wrap: anywhere; }
.soft { color: var(--soft); font-size: .9rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem;
  margin-top: 1rem; }
.word { display: inline-block; font-weight: 700; text-transform: uppercase; letter-spacing: .04em; font-size: .85rem;
  border: 2px solid currentColor; border-radius: 6px; padding: 0 .5rem; }
.promote { color: var(--promote); } .hold { color: var(--hold); } .reject { color: var(--reject); }
.chart { width: 100%; } .wide { overflow-x: auto; margin-top: .5rem; }
.legend { display: flex; flex-wrap: wrap; gap: .15rem 1rem; font-size: .85rem; margin: .25rem 0; padding: 0;
  list-style: none; overflow-wrap: anywhere; }
.legend i { display: inline-block; width: .75em; height: .75em; border-radius: 2px; margin-right: .4em; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; min-width: 100%; }
th, td { text-align: right; padding: .35rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap;
  vertical-align: top; }
th:first-child, td:first-child { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 7rem;
  max-width: 14rem; position: sticky; left: 0; background: var(--card); }
.words { white-space: normal; min-width: 12rem; text-align: left; }
td small { display: block; color: var(--soft); }
details { margin-top: .75rem; border-top: 1px solid var(--line); padding-top: .5rem; }
summary { cursor: pointer; overflow-wrap: anywhere; }
details details { border: 0; margin: 0; padding: 0; }
@media (max-width: 30rem) { section { padding: .75rem; } th, td { padding: .35rem .4rem; }
  th:first-child, td:first-child { min-width: 6rem; max-width: 8rem; } }
"""

SCRIPT = """
const charts = JSON.parse(document.getElementById('charts').textContent);
const dark = window.matchMedia('(prefers-color-scheme: dark)');
function themed(layout) {
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue('--ink').trim(), line = style.getPropertyValue('--line').trim();
  const axis = (given) => ({gridcolor: line, zerolinecolor: line, linecolor: line, fixedrange: true, ...given});
  return {...layout, showlegend: false, paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)',
    font: {color: ink, family: 'system-ui, sans-serif', size: 12},
    xaxis: axis(layout.xaxis), yaxis: axis(layout.yaxis)};
}
function inked(data) {
  const ink = getComputedStyle(document.documentElement).getPropertyValue('--ink').trim();
  return data.map((trace) => trace.type === 'heatmap' ? {...trace, textfont: {...trace.textfont, color: ink}} : trace);
}
function draw() {
  for (const [id, figure] of Object.entries(charts)) {
    Plotly.react(id, inked(figure.data), themed(figure.layout), {responsive: true, displayModeBar: false});
  }
}
draw();
dark.addEventListener('change', draw);
"""

# The policy lets nothing in from anywhere: the file is complete, online or off.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; "
    "form-action 'none'"
)
