"use strict";
// The page's behaviour. Everything that it shows is in #data; all text goes in as text.
(() => {
  const $ = id => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const { packets, steps, moments, frames } = data;
  const symbols = {
    sent: "↗", tap: "◉", "no-tap": "◌", xdp: "·", hook: "▶", stack: "⚙", wire: "⇄", received: "✓", left: "↗", lost: "✗",
  };
  let now = -1, timer = null, moved = false;

  const el = (tag, cls, text) => {
    const e = document.createElement(tag);
    if (cls) e.className = cls;
    if (text !== undefined) e.textContent = text;
    return e;
  };
  const svg = (tag, attributes) => {
    const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
    return e;
  };
  const name = place => place.replace(/^(pod|node|external) /, "").replace(/^default\//, "");
  const stepOf = i => steps[moments[i].s];

  // The first moment of each step.
  const begins = [];
  moments.forEach((m, i) => { if (begins[m.s] === undefined) begins[m.s] = i; });

  // ---- the drawing

  // points of a packet's steps from one index to another, without repetitions.
  function points(from, to) {
    const out = [];
    const add = p => {
      const last = out[out.length - 1];
      if (!last || last.X !== p.X || last.Y !== p.Y) out.push(p);
    };
    for (let i = from; i <= to; i++) {
      if (i > from) (steps[i].via || []).forEach(add);
      if (steps[i].at) add(steps[i].at);
    }
    return out;
  }
  // curve leads through points: straight up, down and along, else bent.
  function curve(ps) {
    if (ps.length < 2) return "";
    let d = `M${ps[0].X} ${ps[0].Y}`;
    for (let i = 1; i < ps.length; i++) {
      const a = ps[i - 1], b = ps[i];
      if (Math.abs(a.X - b.X) < 3 || Math.abs(a.Y - b.Y) < 3) d += `L${b.X} ${b.Y}`;
      else d += `C${a.X} ${(a.Y + b.Y) / 2} ${b.X} ${(a.Y + b.Y) / 2} ${b.X} ${b.Y}`;
    }
    return d;
  }
  const range = packets.map((_, p) => {
    const mine = steps.map((s, i) => s.packet === p ? i : -1).filter(i => i >= 0);
    return [mine[0], mine[mine.length - 1]];
  });
  // Ways of the same course lie beside each other.
  const shift = p => packets[p].relation === "request" ? 0 : packets[p].relation === "asking" ? -5 : 5;

  function drawWays() {
    const ways = document.querySelector(".ways"), at = moments[now].s, mine = steps[at].packet;
    ways.replaceChildren();
    const put = (p, from, to, cls, tip) => {
      const d = curve(points(from, to));
      if (!d) return;
      const path = svg("path", { class: `way ${packets[p].relation} ${cls}`, d, transform: `translate(${shift(p)} ${shift(p)})` });
      if (tip) path.setAttribute("marker-end", "url(#tip)");
      ways.append(path);
    };
    packets.forEach((k, p) => { if (p !== mine && k.relation !== "asking") put(p, ...range[p], "other"); });
    put(mine, at, range[mine][1], "rest");
    put(mine, range[mine][0], at, "gone", true);
    highlight(steps[at], packets[mine].relation);
  }

  // highlight marks where a step happens: the place, the device, and the dot at its edge.
  function highlight(s, relation) {
    const device = s.kind === "stack" || !s.device ? s.place + " stack" : s.place + " " + s.device;
    document.querySelectorAll("[data-id].on").forEach(e => e.classList.remove("on"));
    let box = null;
    document.querySelectorAll("svg [data-id]").forEach(e => {
      if (e.dataset.id !== s.place && e.dataset.id !== device) return;
      e.classList.add("on");
      e.style.setProperty("--packet-now", `var(--${relation})`);
      if (!box || e.dataset.id === device) box = e.querySelector("rect");
    });
    const here = $("here");
    here.setAttribute("class", relation + (moved ? " moving" : ""));
    moved = true;
    here.style.display = box ? "" : "none";
    if (box) here.style.transform = `translate(${+box.getAttribute("x")}px, ${+box.getAttribute("y") + box.getAttribute("height") / 2}px)`;
  }

  // ---- the list of steps

  const label = s => {
    switch (s.kind) {
      case "sent": return "sends it";
      case "tap": return `${s.device} ${s.tap.direction}` + (s.tap.ttl ? `, TTL ${s.tap.ttl}` : "");
      case "no-tap": return `${s.device}: tcpdump is blind`;
      case "hook": return `${s.run.program} @ ${s.device}`;
      case "xdp": return "XDP: none";
      case "wire": return s.say.replace(/^cilium_vxlan /, "").replace(/:.*/, "") + `, VNI ${s.outer.vni}`;
      default: return s.say;
    }
  };
  const links = [];
  function buildSteps() {
    let packet = -1, place = "";
    steps.forEach((s, i) => {
      if (s.packet !== packet) {
        packet = s.packet;
        place = "";
        const k = packets[packet];
        $("steps").append(el("h2", k.relation, `${k.id} · ${relation(k)}`));
      }
      if (s.place !== place) $("steps").append(el("h3", "", place = s.place));
      const a = el("a", packets[packet].relation);
      a.append(el("span", "", symbols[s.kind]), el("span", "", label(s)));
      a.addEventListener("click", () => show(begins[i]));
      links.push(a);
      $("steps").append(a);
    });
  }
  const relation = k => k.relation === "request" ? "request" : { answer: "answer to", failure: "error because of", asking: "ARP for" }[k.relation] + ` ${k.of}`;
  function buildTabs() {
    packets.forEach((k, p) => {
      const b = el("button", k.relation, `${k.id} · ${relation(k)}`);
      b.title = k.title;
      b.setAttribute("role", "tab");
      b.addEventListener("click", () => show(begins[range[p][0]]));
      $("tabs").append(b);
    });
  }

  // ---- what happens

  function lineText(l) {
    const e = el("span");
    switch (l.kind) {
      case "call":
        e.textContent = l.func ? l.func + (l.result ? " = " + l.result : "") : l.note;
        break;
      case "tail-call":
        e.textContent = `⇒ tail call ${l.slot} of ${l.map}` + (l.note ? `, ${l.note}` : "") + (l.hit ? "" : ": missed");
        break;
      case "lookup":
        e.append(`? ${l.map}  ${l.key} → `, el("b", l.hit ? "hit" : "miss", l.hit ? (l.note ? l.note + ": " : "") + l.value : "miss"));
        break;
      case "update":
        e.textContent = `! ${l.map}  ${l.key}`;
        break;
      case "rewrite":
        e.textContent = "~ " + l.changes.map(c => `${c.field} ${c.before} → ${c.after}`).join(", ");
        break;
    }
    return e;
  }
  // open are the functions that are open at a line.
  function open(lines, at) {
    const stack = [];
    for (let i = 0; i <= Math.min(at, lines.length - 1); i++) {
      const l = lines[i];
      stack.length = Math.min(stack.length, l.depth);
      if (l.kind === "call" && l.func) stack.push(l.func);
      if (l.kind === "tail-call" && l.hit) stack.length = 0;
    }
    return stack;
  }
  function facts(cls, mark, texts) {
    const list = el("ul", "facts " + cls);
    texts.forEach(t => list.append(el("li", "", mark + t)));
    return list;
  }
  function showWhat() {
    const m = moments[now], s = steps[m.s], k = packets[s.packet], pane = $("what");
    pane.replaceChildren();
    pane.className = "pane " + k.relation;
    const titles = {
      sent: "The packet is made", tap: "tcpdump sees it", "no-tap": "tcpdump does not see it", xdp: "XDP", hook: s.run && s.run.program,
      stack: "Host stack", wire: "VXLAN", received: "Received", left: "Out of the cluster", lost: "The end",
    };
    pane.append(el("h2", "", `${symbols[s.kind]} ${titles[s.kind]}`));
    pane.append(el("div", "where", s.place + (s.device ? ` · ${s.device}` : "") + (s.run ? ` · ${s.run.direction}` : "") + (s.fragment ? ` · fragment ${s.fragment}` : "")));
    if (s.tap) {
      pane.append(el("div", "tcpdump", `${s.device} ${s.tap.direction}  ${s.tap.srcMAC} > ${s.tap.dstMAC}  ${s.tap.summary}`));
    } else if (!s.run) {
      pane.append(el("p", s.kind === "lost" ? "result bad" : s.kind === "received" ? "result" : "", s.say));
    } else {
      showRun(pane, m, s);
    }
    if (m.m) pane.append(el("p", "dim", `mark 0x${m.m.toString(16)}`));
    pane.scrollTop = 0;
    const line = pane.querySelector(".line.now");
    if (line) pane.scrollTop = Math.max(0, line.offsetTop - pane.offsetTop - pane.clientHeight * .55);
    else if (s.run && m.l >= 0) pane.scrollTop = pane.scrollHeight;
  }
  function showRun(pane, m, s) {
    const stack = open(s.run.lines, m.l);
    if (stack.length && m.l < s.run.lines.length) {
      const box = el("div", "stack");
      stack.forEach((f, i) => { if (i) box.append("›"); box.append(el("span", "", f)); });
      pane.append(box);
    }
    s.run.lines.forEach((l, i) => {
      const row = el("div", `line ${l.kind}` + (i > m.l ? " later" : i === m.l ? " now" : ""));
      row.style.paddingLeft = `${.4 + l.depth}rem`;
      row.append(lineText(l), el("span", "file", l.file || ""));
      row.addEventListener("click", () => show(begins[m.s] + 1 + i));
      pane.append(row);
    });
    if (m.l < s.run.lines.length) return;
    if (s.written) pane.append(facts("entries", "", s.written));
    if (s.decided) pane.append(facts("", "• ", s.decided));
    pane.append(el("p", "result" + (s.run.drop || s.run.action < 0 ? " bad" : ""), s.run.result));
  }

  // ---- the bytes

  function showBytes() {
    const m = moments[now], f = frames[m.f], pane = $("bytes");
    const n = f.hex.length / 2, fresh = new Set();
    (m.d || []).forEach(([o, l]) => { for (let i = o; i < o + l; i++) fresh.add(i); });
    const top = pane.scrollTop;
    pane.replaceChildren(el("h2", "", `${n} bytes` + (fresh.size ? `, ${fresh.size} of them new` : "")));
    const table = el("table", "hex");
    for (let row = 0; row < n; row += 16) {
      const tr = el("tr");
      tr.append(el("td", "", row.toString(16).padStart(4, "0")));
      let ascii = "";
      for (let i = row; i < row + 16; i++) {
        const b = i < n ? f.hex.slice(2 * i, 2 * i + 2) : "";
        const td = el("td", "b" + (fresh.has(i) ? " new" : ""), b);
        if (b) {
          td.dataset.i = i;
          const c = parseInt(b, 16);
          ascii += c > 31 && c < 127 ? String.fromCharCode(c) : "·";
          const field = f.fields.find(x => x.offset <= i && i < x.offset + x.len);
          if (field) td.title = `${field.name} = ${field.value}`;
        }
        tr.append(td);
      }
      tr.append(el("td", "ascii", ascii));
      table.append(tr);
    }
    if (m.c) pane.append(facts("changes", "", m.c.map(c => `${c.field}  ${c.before || "∅"} → ${c.after || "∅"}`)));
    pane.append(table, fieldTable(m, f));
    pane.scrollTop = top;
  }
  const layers = { "": "Payload", eth: "Ethernet", vlan: "VLAN", arp: "ARP", ip: "IPv4", ip6: "IPv6", tcp: "TCP", udp: "UDP", icmp: "ICMP", icmp6: "ICMPv6", vxlan: "VXLAN" };
  const layerName = group => group.split(".").map(g => layers[g] || g).join(" ").replace(/^orig/, "quoted");
  function fieldTable(m, f) {
    const before = new Map((m.c || []).map(c => [c.field, c.before]));
    const table = el("table", "fields");
    let layer = null;
    f.fields.forEach(x => {
      const dot = x.name.lastIndexOf(".");
      const group = dot < 0 ? "" : x.name.slice(0, dot);
      if (group !== layer) {
        layer = group;
        const th = el("th", "", layerName(group));
        th.colSpan = 2;
        const tr = el("tr");
        tr.append(th);
        table.append(tr);
      }
      const tr = el("tr", before.has(x.name) ? "new" : ""), value = el("td");
      if (before.get(x.name)) value.append(el("s", "", before.get(x.name)));
      value.append(before.has(x.name) ? el("b", "", x.value) : x.value);
      tr.append(el("td", "", x.name.slice(dot + 1)), value);
      const light = on => {
        for (let i = x.offset; i < x.offset + x.len; i++) {
          const td = document.querySelector(`.hex [data-i="${i}"]`);
          if (td) td.classList.toggle("lit", on);
        }
      };
      tr.addEventListener("mouseenter", () => light(true));
      tr.addEventListener("mouseleave", () => light(false));
      table.append(tr);
    });
    return table;
  }

  // ---- moving

  function show(i) {
    i = Math.max(0, Math.min(moments.length - 1, i));
    if (i === now) return;
    now = i;
    const m = moments[i], mine = steps[m.s].packet;
    drawWays();
    showWhat();
    showBytes();
    links.forEach((a, k) => a.classList.toggle("now", k === m.s));
    const a = links[m.s], list = $("steps");
    list.scrollTop = Math.max(0, a.offsetTop - list.offsetTop - list.clientHeight / 2);
    [...$("tabs").children].forEach((b, p) => b.setAttribute("aria-selected", p === mine));
    $("slider").value = i;
    $("count").textContent = `${i + 1} / ${moments.length}`;
    $("prev").disabled = $("prevhop").disabled = $("first").disabled = i === 0;
    $("next").disabled = $("nexthop").disabled = $("last").disabled = i === moments.length - 1;
    document.body.dataset.moment = i;
    history.replaceState(null, "", "#" + (i + 1));
  }
  const nextHop = () => show(begins[moments[now].s + 1] ?? moments.length - 1);
  const prevHop = () => show(now > begins[moments[now].s] ? begins[moments[now].s] : begins[moments[now].s - 1] ?? 0);
  function play(on) {
    clearInterval(timer);
    timer = on ? setInterval(() => { if (now === moments.length - 1) play(false); else show(now + 1); }, 700) : null;
    $("play").textContent = on ? "pause" : "play";
  }
  const theme = () => {
    const dark = getComputedStyle(document.documentElement).colorScheme === "dark" ||
      getComputedStyle(document.documentElement).colorScheme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.style.colorScheme = dark ? "light" : "dark";
  };

  const actions = {
    first: () => show(0), prevhop: prevHop, prev: () => show(now - 1), play: () => play(!timer), next: () => show(now + 1),
    nexthop: nextHop, last: () => show(moments.length - 1), theme,
  };
  for (const [id, f] of Object.entries(actions)) $(id).addEventListener("click", () => { if (id !== "play") play(false); f(); });
  $("slider").max = moments.length - 1;
  $("slider").addEventListener("input", e => show(+e.target.value));
  document.addEventListener("keydown", e => {
    if (e.ctrlKey || e.altKey || e.metaKey || e.target.tagName === "INPUT" && e.key.startsWith("Arrow")) return;
    const key = (e.shiftKey ? "Shift+" : "") + e.key;
    const id = {
      ArrowRight: "next", ArrowLeft: "prev", "Shift+ArrowRight": "nexthop", "Shift+ArrowLeft": "prevhop", PageDown: "nexthop",
      PageUp: "prevhop", Home: "first", End: "last", " ": "play", t: "theme",
    }[key];
    if (id) { e.preventDefault(); $(id).click(); return; }
    if (/^[1-9]$/.test(e.key) && packets[e.key - 1]) $("tabs").children[e.key - 1].click();
  });
  if (!moments.length) return;
  buildTabs();
  buildSteps();
  const asked = packets.findIndex(k => k.relation === "request");
  const hash = parseInt(location.hash.slice(1), 10);
  show(hash > 0 ? hash - 1 : begins[range[Math.max(asked, 0)][0]]);
})();
