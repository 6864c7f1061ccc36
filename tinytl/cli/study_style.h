// How the figures and the page of a study look.
#pragma once

namespace tinytl::cli {

// Light, for paper and slides. m0 to m6: the methods from last to sparse, hues of Okabe and Ito
// that differ in lightness too; lines differ in their dashes as well.
inline constexpr const char* kStudyStyle = R"(<style>
.study{font-family:"Helvetica Neue",Helvetica,Arial,"Liberation Sans",sans-serif}
.study text{fill:#24292f;font-size:12.5px}
.study .paper{fill:#fff}
.study .title{font-size:21px;font-weight:600}
.study .name{font-size:15px;font-weight:600}
.study .strong{font-weight:600}
.study .muted{fill:#656d76}
.study .small{font-size:11.5px}
.study .end{text-anchor:end}
.study .middle{text-anchor:middle}
.study .grid{stroke:#eaecef;stroke-width:1;fill:none}
.study .axis{stroke:#9aa1a9;stroke-width:1;fill:none}
.study .turn{stroke:#9aa1a9;stroke-width:1;stroke-dasharray:2 3;fill:none}
.study .thread{stroke:#b6bec7;stroke-width:.8;fill:none}
.study .front{stroke:#57606a;stroke-width:1.5;stroke-linejoin:round;fill:none}
.study .budget{stroke:#b3261e;stroke-width:1.3;stroke-dasharray:6 4;fill:none}
.study .mark{stroke:#fff;stroke-width:1.2}
.study .bar{stroke-width:1.6;fill:none}
.study .neutral{fill:#57606a;stroke:#fff}
.study .m0{fill:#9aa3ad;stroke:#9aa3ad}
.study .m1{fill:#4fa8e0;stroke:#4fa8e0}
.study .m2{fill:#12937a;stroke:#12937a}
.study .m3{fill:#d5541c;stroke:#d5541c}
.study .m4{fill:#b07cc6;stroke:#b07cc6}
.study .m5{fill:#1f2a44;stroke:#1f2a44}
.study .m6{fill:#c08a1e;stroke:#c08a1e}
.study g text,.study g[class] text{stroke:none}
.study path.mark{stroke:#fff}
.study text.words{paint-order:stroke;stroke:#fff;stroke-width:3px;stroke-linejoin:round}
.study .hollow{fill:#fff}
.study .m0 .hollow{stroke:#9aa3ad}
.study .m1 .hollow{stroke:#4fa8e0}
.study .m2 .hollow{stroke:#12937a}
.study .m3 .hollow{stroke:#d5541c}
.study .m4 .hollow{stroke:#b07cc6}
.study .m5 .hollow{stroke:#1f2a44}
.study .m6 .hollow{stroke:#c08a1e}
.study path.hollow{fill:#fff;stroke-width:2}
.study path.neutral.hollow{fill:#fff;stroke:#57606a}
.study path.curve{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}
.study path.curve.m0{stroke-dasharray:1 4}
.study path.curve.m1{stroke-dasharray:7 4}
.study path.curve.m2{stroke-dasharray:3 3.5}
.study path.curve.m4{stroke-dasharray:9 3 1 3}
.study path.curve.m3{stroke-width:2.4}
.study path.curve.m6{stroke-dasharray:12 3}
.study path.band{stroke:none;fill-opacity:.14}
.study path.alive{stroke:none;fill-opacity:.22}
.study path.outline{fill:none;stroke-width:1.3}
.study .arena{fill:#57606a}
.study .trainable{fill:#8c959f}
.study .optimizer{fill:#b6bec7}
.study .frozen{fill:#dde1e6}
.study .tick{stroke:#d5541c;stroke-width:2;fill:none}
</style>
)";

// The page, and what differs there in the dark.
inline constexpr const char* kStudyPageStyle = R"(<style>
:root{color-scheme:light dark;--ink:#1b1f24;--muted:#656d76;--paper:#fff;--rule:#e1e4e8;--well:#f6f8fa;
--m0:#9aa3ad;--m1:#4fa8e0;--m2:#12937a;--m3:#d5541c;--m4:#b07cc6;--m5:#1f2a44;--m6:#c08a1e}
body{margin:0 auto;max-width:1200px;padding:40px 28px 72px;background:var(--paper);color:var(--ink);
font:15px/1.55 "Helvetica Neue",Helvetica,Arial,"Liberation Sans",sans-serif;font-variant-numeric:tabular-nums}
h1{font-size:28px;line-height:1.2;margin:0 0 4px;letter-spacing:-.01em}
h2{font-size:19px;margin:56px 0 2px}
p{margin:0 0 10px;max-width:78ch}
.lead,.caption{color:var(--muted)}
.caption{font-size:13.5px;margin-bottom:16px}
.findings{display:grid;grid-template-columns:repeat(auto-fit,minmax(260px,1fr));gap:20px 36px;margin:30px 0 8px}
.findings div{border-top:2px solid var(--ink);padding-top:10px}
.findings span{display:block;color:var(--muted);font-size:13.5px}
.findings b{display:block;font-size:25px;line-height:1.2;font-weight:600;letter-spacing:-.01em;margin:2px 0 4px}
.figure{overflow:auto hidden}
.figure svg{display:block;width:100%;min-width:900px;height:auto}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13.5px}
th{font-weight:400;text-align:left;color:var(--muted);vertical-align:bottom;border-bottom:1px solid var(--ink)}
th,td{padding:5px 0 5px 18px;white-space:nowrap}
th:first-child,td:first-child{padding-left:0}
td{border-bottom:1px solid var(--rule)}
tr.set td{padding-top:22px;font-weight:600;font-size:15px;border-bottom:1px solid var(--rule)}
tr.set span{font-weight:400;color:var(--muted);font-size:13.5px;margin-left:8px}
tr.front b{font-weight:600}
.n{text-align:right}
td i{display:inline-block;width:10px;height:10px;border-radius:5px;margin-right:9px}
td small{color:var(--muted);font-size:12.5px}
pre{background:var(--well);padding:14px 16px;border-radius:6px;overflow-x:auto;font-size:12.5px;line-height:1.5;
white-space:pre-wrap;overflow-wrap:anywhere}
@media (prefers-color-scheme:dark){
:root{--ink:#e6edf3;--muted:#9198a1;--paper:#0f1318;--rule:#2a313a;--well:#171d24;
--m0:#7d8590;--m1:#58aee6;--m2:#2aa98d;--m3:#ea6a35;--m4:#bd8dd1;--m5:#e6edf3;--m6:#d9a53a}
.study text{fill:#e6edf3}
.study .paper{fill:#0f1318}
.study .muted{fill:#9198a1}
.study .grid{stroke:#222932}
.study .axis,.study .turn{stroke:#59636e}
.study .thread{stroke:#59636e}
.study .front{stroke:#9198a1}
.study .budget{stroke:#f2857c}
.study .neutral{fill:#9198a1}
.study .m0{fill:#7d8590;stroke:#7d8590}
.study .m1{fill:#58aee6;stroke:#58aee6}
.study .m2{fill:#2aa98d;stroke:#2aa98d}
.study .m3{fill:#ea6a35;stroke:#ea6a35}
.study .m4{fill:#bd8dd1;stroke:#bd8dd1}
.study .m5{fill:#e6edf3;stroke:#e6edf3}
.study .m6{fill:#d9a53a;stroke:#d9a53a}
.study path.mark,.study text.words{stroke:#0f1318}
.study path.hollow,.study path.neutral.hollow{fill:#0f1318}
.study path.neutral.hollow{stroke:#9198a1}
.study .m0 .hollow{stroke:#7d8590}
.study .m1 .hollow{stroke:#58aee6}
.study .m2 .hollow{stroke:#2aa98d}
.study .m3 .hollow{stroke:#ea6a35}
.study .m4 .hollow{stroke:#bd8dd1}
.study .m5 .hollow{stroke:#e6edf3}
.study .m6 .hollow{stroke:#d9a53a}
.study .arena{fill:#c3cbd4}
.study .trainable{fill:#8b949e}
.study .optimizer{fill:#5f6975}
.study .frozen{fill:#39424e}
.study .tick{stroke:#ea6a35}
}
@media print{.figure svg{min-width:0}h2{break-after:avoid}.figure,tr{break-inside:avoid}}
</style>
)";

}  // namespace tinytl::cli
