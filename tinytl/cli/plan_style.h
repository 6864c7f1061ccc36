// How the picture and the page of a memory plan look, and what the page does under the pointer.
#pragma once

namespace tinytl::cli {

// The palette is safe for the colour-blind: hues of Okabe and Ito, apart in lightness too.
inline constexpr const char* kPictureStyle = R"(<style>
.plan{font-family:"Helvetica Neue",Helvetica,Arial,"Liberation Sans",sans-serif}
.plan text{fill:#24292f;font-size:12px}
.plan .paper{fill:#fff}
.plan .title{font-size:21px;font-weight:600}
.plan .muted{fill:#656d76}
.plan .strong{font-weight:600}
.plan .end{text-anchor:end}
.plan .middle{text-anchor:middle}
.plan .grid{stroke:#e6e8eb;stroke-width:1;fill:none}
.plan .axis{stroke:#9aa1a9;stroke-width:1;fill:none}
.plan .turn{stroke:#9aa1a9;stroke-width:1;stroke-dasharray:2 3;fill:none}
.plan .mark{stroke:#24292f;stroke-width:1.2;fill:none}
.plan .dot{fill:#24292f}
.plan .alive{fill:#d3dae2}
.plan .lane{fill:#7d8590}
.plan .saved{fill:#e69029}
.plan .recomputed{fill:#3a78ad}
.plan .gradient{fill:#1f8a70}
.plan .activation{fill:#a3cbe8}
.plan .input{fill:#c5b3dc}
.plan .scratch{fill:#b9b5ad}
.plan .tensors{stroke:#fff;stroke-width:.6}
.plan .tensors .slim{stroke-width:.3}
.plan .tensors .thin{stroke-width:.4}
.plan .saved .thin{stroke:#e69029}
.plan .recomputed .thin{stroke:#3a78ad}
.plan .gradient .thin{stroke:#1f8a70}
.plan .activation .thin{stroke:#a3cbe8}
.plan .input .thin{stroke:#c5b3dc}
.plan .scratch .thin{stroke:#b9b5ad}
.plan .labels text{fill:#1b1f24;pointer-events:none}
.plan .labels .on-gradient,.plan .labels .on-recomputed{fill:#fff}
</style>
)";

// Only what differs in the dark; the light colours of the picture are its own.
inline constexpr const char* kPageStyle = R"(<style>
:root{color-scheme:light dark;--ink:#1b1f24;--muted:#656d76;--paper:#fff;--rule:#e1e4e8;--hover:#f4f6f8;
--saved:#e69029;--recomputed:#3a78ad;--gradient:#1f8a70;--activation:#a3cbe8;--input:#c5b3dc;--scratch:#b9b5ad;
--padding:#d8dce1;--arena:#57606a;--trainable:#8c959f;--optimizer:#b6bec7;--frozen:#dde1e6}
body{margin:0 auto;max-width:1200px;padding:32px 24px 64px;background:var(--paper);color:var(--ink);
font:15px/1.5 "Helvetica Neue",Helvetica,Arial,"Liberation Sans",sans-serif;font-variant-numeric:tabular-nums}
h1{font-size:26px;margin:0 0 2px;overflow-wrap:anywhere}
h2{font-size:18px;margin:44px 0 4px}
p{margin:0 0 12px;max-width:75ch}
h1+p{max-width:none}
.muted,th{color:var(--muted)}
.figures{display:flex;flex-wrap:wrap;gap:12px 44px;margin:24px 0 20px}
.figures b{display:block;font-size:26px;line-height:1.2;font-weight:600}
.figures span{color:var(--muted);font-size:13px}
.bar{display:flex;height:26px;gap:1px;margin:6px 0 8px;overflow:hidden;border-radius:3px}
.bar i{min-width:1px}
.before{opacity:.35}
.rows{display:grid;grid-template-columns:max-content 1fr;gap:0 14px;align-items:center;margin:0 0 4px}
.rows .bar{margin:3px 0}
.parts{display:flex;flex-wrap:wrap;gap:2px 24px;margin:0 0 22px;padding:0;list-style:none;font-size:13px}
.parts i,td i{display:inline-block;width:11px;height:11px;margin-right:7px;border-radius:2px}
.parts b{font-weight:600;margin-left:6px}
.caption{font-size:13px;color:var(--muted)}
.picture{overflow:auto hidden;margin:14px 0 0}
.picture svg{display:block;width:100%;min-width:900px;height:auto;margin-top:-6.5%}
.plan .head{display:none}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13px}
th{font-weight:400;text-align:left;border-bottom:1px solid var(--rule)}
th,td{padding:4px 14px 4px 0;vertical-align:top}
td{border-bottom:1px solid var(--rule);overflow-wrap:anywhere}
.n{text-align:right;white-space:nowrap}
th.n:first-child{width:7em}
.t{white-space:nowrap}
tr.sum td{font-weight:600;border-bottom:0;border-top:2px solid var(--ink)}
tbody tr[data-b]{cursor:default}
tbody tr[data-b]:hover,tr.hot{background:var(--hover)}
#tip{position:fixed;z-index:9;display:none;max-width:460px;padding:9px 12px;border-radius:6px;pointer-events:none;
white-space:pre-line;font-size:12.5px;line-height:1.45;overflow-wrap:anywhere;
background:#1b1f24;color:#f0f3f6;box-shadow:0 4px 18px rgba(0,0,0,.25)}
#tip::first-line{font-weight:600}
#tip.pinned{pointer-events:auto;outline:2px solid #e69029}
.plan .tensors rect{cursor:pointer}
.plan.hovering .tensors rect{opacity:.32}
.plan.hovering .labels{opacity:.45}
.plan.hovering .tensors rect.hot{opacity:1;stroke:#1b1f24;stroke-width:1.4}
@media (prefers-color-scheme:dark){
:root{--ink:#e6edf3;--muted:#9198a1;--paper:#0f1318;--rule:#2a313a;--hover:#1a212a;
--saved:#d98a2b;--recomputed:#8fc4ec;--gradient:#2c9c80;--activation:#47749a;--input:#806ba0;--scratch:#6a6760;
--padding:#3a424d;--arena:#c3cbd4;--trainable:#8b949e;--optimizer:#5f6975;--frozen:#39424e}
.plan text{fill:#e6edf3}
.plan .paper{fill:#0f1318}
.plan .muted{fill:#9198a1}
.plan .grid{stroke:#222932}
.plan .axis,.plan .turn{stroke:#59636e}
.plan .mark{stroke:#e6edf3}
.plan .dot{fill:#e6edf3}
.plan .alive{fill:#39424e}
.plan .lane{fill:#7d8590}
.plan .saved,.plan .saved .thin{fill:#d98a2b}
.plan .recomputed,.plan .recomputed .thin{fill:#8fc4ec}
.plan .gradient,.plan .gradient .thin{fill:#2c9c80}
.plan .activation,.plan .activation .thin{fill:#47749a}
.plan .input,.plan .input .thin{fill:#806ba0}
.plan .scratch,.plan .scratch .thin{fill:#6a6760}
.plan .tensors{stroke:#0f1318}
.plan .saved .thin{stroke:#d98a2b}
.plan .recomputed .thin{stroke:#8fc4ec}
.plan .gradient .thin{stroke:#2c9c80}
.plan .activation .thin{stroke:#47749a}
.plan .input .thin{stroke:#806ba0}
.plan .scratch .thin{stroke:#6a6760}
.plan .labels text{fill:#fff}
.plan .labels .on-saved,.plan .labels .on-recomputed{fill:#14181d}
.plan.hovering .tensors rect.hot{stroke:#fff}
#tip{background:#2a323c}
}
@media print{.picture svg{min-width:0}}
</style>
)";

// Shows the <title> of the tensor under the pointer in a box; a click pins it, another or Escape
// lets go. Rows of the tables point at their tensor.
inline constexpr const char* kPageScript = R"(<script>
const plan = document.querySelector('.plan'), tip = document.getElementById('tip');
const story = new Map();
for (const rect of plan.querySelectorAll('.tensors rect')) {
  const title = rect.querySelector('title');
  story.set(rect, title.textContent);
  title.remove();
}
let hot = null, pinned = false;
function point(rect) {
  if (hot === rect) return;
  if (hot) {
    hot.classList.remove('hot');
    document.querySelectorAll('tr.hot').forEach(row => row.classList.remove('hot'));
  }
  hot = rect;
  plan.classList.toggle('hovering', !!rect);
  if (!rect) return;
  rect.classList.add('hot');
  document.querySelectorAll('tr[data-b="' + rect.id.slice(1) + '"]')
      .forEach(row => row.classList.add('hot'));
}
function show(rect, x, y) {
  point(rect);
  tip.style.display = rect ? 'block' : 'none';
  if (!rect) return;
  tip.textContent = story.get(rect);
  const gap = 16, box = tip.getBoundingClientRect();
  tip.style.left = Math.max(8, x + gap + box.width > innerWidth ? x - gap - box.width : x + gap) + 'px';
  tip.style.top = Math.max(8, Math.min(y + gap, innerHeight - box.height - 8)) + 'px';
}
function pin(on) {
  pinned = on;
  tip.classList.toggle('pinned', on);
}
plan.addEventListener('pointermove', event => {
  if (!pinned) show(event.target.closest('.tensors rect'), event.clientX, event.clientY);
});
plan.addEventListener('pointerleave', () => { if (!pinned) show(null); });
document.addEventListener('click', event => {
  if (tip.contains(event.target)) return;
  const rect = event.target.closest('.plan .tensors rect');
  const again = pinned && rect === hot;
  pin(!!rect && !again);
  show(again ? null : rect, event.clientX, event.clientY);
});
document.addEventListener('keydown', event => {
  if (event.key === 'Escape') { pin(false); show(null); }
});
for (const row of document.querySelectorAll('tr[data-b]')) {
  row.addEventListener('pointerenter', () => {
    if (!pinned) point(document.getElementById('b' + row.dataset.b));
  });
  row.addEventListener('pointerleave', () => { if (!pinned) point(null); });
}
</script>
)";

}  // namespace tinytl::cli
