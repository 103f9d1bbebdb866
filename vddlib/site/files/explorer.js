// The explorer: filters over RECORDS (see vddlib.site.explorer), a Plotly chart, and a table with the same numbers.
"use strict";
(() => {
  const CHOICES = ["scale", "dataset", "ipc", "protocol", "student"];
  const AXES = { bytes_stream: "Bytes of the set as compressed video", distill_seconds: "Seconds to distil a set", ipc: "Clips per class" };
  const $ = (id) => document.getElementById(id);
  const make = (tag, more = {}) => Object.assign(document.createElement(tag), more);
  const chosen = { axis: "bytes_stream", ipc: 5, protocol: "F", variants: false };  // what most tables show, where it is there
  const off = new Set();

  const values = (name, rows) => {
    const found = [...new Set(rows.map((row) => row[name]))];
    if (name === "ipc") return found.sort((a, b) => (a ?? Infinity) - (b ?? Infinity));
    if (name !== "student") return found;
    const methods = (student) => new Set(rows.filter((row) => row.student === student).map((row) => row.printed)).size;
    return found.sort((a, b) => methods(b) - methods(a));  // the one that most methods were measured with is shown first
  };
  const whole = (value) => (value === null ? "" : value.toFixed(0));
  const fits = (row, names) => names.every((name) => row[name] === chosen[name]);

  function choice(name, label, options, printed = String) {
    const select = make("select", { id: `choose-${name}` });
    for (const value of options) select.append(make("option", { value: JSON.stringify(value), textContent: printed(value) }));
    if (!options.includes(chosen[name])) chosen[name] = options[0];
    select.value = JSON.stringify(chosen[name]);
    select.onchange = () => { chosen[name] = JSON.parse(select.value); draw(); };
    const around = make("label", { textContent: `${label} ` });
    around.append(select);
    return around;
  }

  function controls() {
    const box = $("choices"), focused = document.activeElement && document.activeElement.id;
    box.replaceChildren();
    CHOICES.forEach((name, index) => {
      const rows = RECORDS.filter((row) => fits(row, CHOICES.slice(0, index)));
      box.append(choice(name, name === "ipc" ? "IPC" : name, values(name, rows), (v) => (v === null ? "all data" : String(v))));
    });
    box.append(choice("axis", "against", Object.keys(AXES), (v) => AXES[v]));
    box.append(choice("variants", "show", [false, true], (v) => (v ? "ablations and controls, too" : "methods as they are")));
    if (focused && $(focused)) $(focused).focus();
  }

  function methods(rows) {
    const box = $("methods"), focused = document.activeElement && document.activeElement.id;
    box.replaceChildren();
    for (const name of values("printed", rows)) {
      const input = make("input", { type: "checkbox", checked: !off.has(name), id: `method-${name.replace(/\W+/g, "-")}` });
      input.onchange = () => { input.checked ? off.delete(name) : off.add(name); draw(); };
      const around = make("label");
      around.append(input, ` ${name}`);
      box.append(around);
    }
    if (focused && $(focused)) $(focused).focus();
  }

  function origin(row) {
    const box = $("origin");
    box.replaceChildren(make("h3", { textContent: `${row.printed}, ${row.protocol}` }));
    const list = make("ul");
    const facts = [
      `top-1 ${row.top1.toFixed(2)} % [${row.low.toFixed(2)}, ${row.high.toFixed(2)}], ${row.seeds} seeds: ${row.each.map((v) => v.toFixed(2)).join(", ")}`,
      `student ${row.student}`, `commit ${row.commit.join(", ") || "unknown"}`, `device ${row.device.join(", ")}`, `params ${row.params.join(", ") || "changed since"}`,
    ];
    for (const fact of facts) list.append(make("li", { textContent: fact }));
    for (const page of row.pages) {
      const item = make("li");
      item.append(make("a", { href: page.href, textContent: `${page.name}: its notebook, with its clips` }));
      list.append(item);
    }
    box.append(list);
    if (row.text) box.append(make("pre", { textContent: row.text, tabIndex: 0 }));
  }

  function table(rows) {
    const body = $("rows"), head = ["method", "seeds", "top-1", "95 % interval", "bytes", "seconds to distil"];
    body.replaceChildren();
    const top = make("tr");
    for (const name of head) top.append(make("th", { textContent: name, scope: "col" }));
    body.append(top);
    for (const row of rows) {
      const line = make("tr"), cell = make("td"), button = make("button", { type: "button", textContent: row.printed });
      button.onclick = () => origin(row);
      cell.append(button);
      const rest = [row.seeds, row.top1.toFixed(2), `[${row.low.toFixed(2)}, ${row.high.toFixed(2)}]`, whole(row.bytes_stream), whole(row.distill_seconds)];
      line.append(cell, ...rest.map((value) => make("td", { textContent: value })));
      body.append(line);
    }
  }

  function draw() {
    controls();
    const here = RECORDS.filter((row) => fits(row, CHOICES)), plain = here.filter((row) => row.plain);
    const all = chosen.variants || !plain.length ? here : plain;
    methods(all);
    const rows = all.filter((row) => !off.has(row.printed));
    $("count").textContent = `${rows.length} of ${here.length} methods and variants in this setting; ${RECORDS.length} in all.`;
    const dark = document.documentElement.dataset.theme === "dark";
    const traces = rows.map((row) => ({
      type: "scatter", mode: "markers", name: row.printed, x: [row[chosen.axis]], y: [row.top1], customdata: [row],
      error_y: { type: "data", symmetric: false, array: [row.high - row.top1], arrayminus: [row.top1 - row.low] },
      marker: { size: 10, color: row.colour, symbol: "circle" },
    }));
    const layout = {
      margin: { t: 10, r: 10 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: dark ? "#eee" : "#222" },
      xaxis: { title: { text: AXES[chosen.axis] }, type: chosen.axis === "ipc" ? "linear" : "log" }, yaxis: { title: { text: "top-1 (%)" } }, showlegend: window.innerWidth > 700,
    };
    Plotly.react("plot", traces, layout, { responsive: true, displaylogo: false, displayModeBar: false });
    $("plot").removeAllListeners && $("plot").removeAllListeners("plotly_click");
    $("plot").on("plotly_click", (event) => origin(event.points[0].data.customdata[0]));
    table(rows);
  }
  draw();
})();
