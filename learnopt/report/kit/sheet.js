// Moves and zooms the pictures of a page together, places their labels for the room there is, and tells what is pointed at.
(() => {
  const FONT = 12, REACH = 8, MOST = 400, NEAR = 16, GREATEST = 40;
  const SIDES = [[0, -1], [0, 1], [1, -.7], [-1, -.7], [1, .7], [-1, .7], [1, 0], [-1, 0], [0, -2], [0, 2]];
  const ruler = document.createElement("canvas").getContext("2d");
  const widths = new Map();
  const wide = (text, bold) => {
    const key = bold + text;
    if (!widths.has(key)) {
      ruler.font = `${bold ? 700 : 400} ${FONT}px system-ui, "Segoe UI", Roboto, sans-serif`;
      widths.set(key, ruler.measureText(text).width + 4);
    }
    return widths.get(key);
  };
  const data = async script => {
    const content = JSON.parse(script.textContent);
    if (!script.classList.contains("packed")) return content;
    const bytes = Uint8Array.from(atob(content), c => c.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).json();
  };
  const start = async box => {
    const sheets = await Promise.all([...box.querySelectorAll("figure")].map(async figure => {
      const svg = figure.querySelector("svg");
      const live = document.createElementNS(svg.namespaceURI, "g");
      live.setAttribute("class", "fitted");
      svg.append(live);
      return { svg, live, view: svg.querySelector(".view"), ...await data(figure.querySelector("script")) };
    }));
    const [, , W, H] = sheets[0].svg.getAttribute("viewBox").split(" ").map(Number);
    const tip = box.querySelector(".tip");
    let k = 1, tx = 0, ty = 0, waiting = 0;
    const unit = () => sheets[0].svg.clientWidth / W || 1;

    const label = sheet => {
      const s = unit(), w = W * s, h = H * s, high = FONT * 1.2;
      const taken = new Map(), dots = new Map(), C = 48;
      const cells = b => {
        const found = [];
        for (let i = Math.floor((b[0] - b[2]) / C); i <= Math.floor((b[0] + b[2]) / C); i++)
          for (let j = Math.floor((b[1] - b[3]) / C); j <= Math.floor((b[1] + b[3]) / C); j++) found.push(i * 9973 + j);
        return found;
      };
      for (const [x, y] of sheet.spots) {
        const px = (x * k + tx) * s, py = (y * k + ty) * s;
        if (px < 0 || py < 0 || px > w || py > h) continue;
        const cell = Math.floor(px / C) * 9973 + Math.floor(py / C);
        dots.has(cell) ? dots.get(cell).push([px, py]) : dots.set(cell, [[px, py]]);
      }
      const texts = [];
      for (const [x, y, text, colour, rank, kind] of sheet.names) {
        if (texts.length >= MOST) break;
        const px = (x * k + tx) * s, py = (y * k + ty) * s;
        if (px < 0 || py < 0 || px > w || py > h) continue;
        const hw = wide(text, kind === "bold") / 2, hh = high / 2;
        if (2 * hw > w) continue;
        let best = null;
        SIDES.forEach(([dx, dy], turn) => {
          const cx = Math.min(Math.max(px + dx * (REACH + hw), hw), w - hw);
          const cy = Math.min(Math.max(py + dy * (REACH + hh), hh), h - hh);
          const b = [cx, cy, hw, hh], here = cells(b);
          if (here.some(c => (taken.get(c) || []).some(o => Math.abs(o[0] - cx) < o[2] + hw && Math.abs(o[1] - cy) < o[3] + hh)))
            return;
          let cost = 0.1 * turn;
          for (const c of here)
            for (const [a, d] of dots.get(c) || []) if (Math.abs(a - cx) < hw + 2 && Math.abs(d - cy) < hh + 2) cost += 1;
          if (!best || cost < best[0]) best = [cost, b, here];
        });
        if (!best || best[0] > (rank < 2 ? 6 : 1.5)) continue;
        for (const c of best[2]) taken.has(c) ? taken.get(c).push(best[1]) : taken.set(c, [best[1]]);
        const t = document.createElementNS(sheet.svg.namespaceURI, "text");
        t.setAttribute("x", best[1][0] / s);
        t.setAttribute("y", (best[1][1] + FONT * .36) / s);
        t.setAttribute("fill", colour);
        t.setAttribute("style", `font-size:${FONT / s}px`);
        if (kind) t.setAttribute("class", kind);
        t.textContent = text;
        texts.push(t);
      }
      sheet.live.replaceChildren(...texts);
    };
    const draw = () => {
      waiting = 0;
      const s = unit();
      const size = Math.min(Math.max(s * k, .3), Math.max(s, 1.3));
      box.style.setProperty("--s", size);
      for (const sheet of sheets) {
        sheet.view.setAttribute("transform", `matrix(${k} 0 0 ${k} ${tx} ${ty})`);
        label(sheet);
      }
      box.classList.toggle("zoomed", k > 1);
    };
    const soon = () => { waiting = waiting || requestAnimationFrame(draw); };
    const hold = () => {
      tx = Math.min(0, Math.max(tx, W * (1 - k)));
      ty = Math.min(0, Math.max(ty, H * (1 - k)));
      soon();
    };
    const zoom = (factor, x, y) => {
      const next = Math.min(Math.max(k * factor, 1), GREATEST);
      tx = x - (x - tx) * next / k;
      ty = y - (y - ty) * next / k;
      k = next;
      hold();
    };
    const at = (svg, event) => {
      const r = svg.getBoundingClientRect();
      return [(event.clientX - r.left) / unit(), (event.clientY - r.top) / unit()];
    };
    const tell = (sheet, event) => {
      const [x, y] = at(sheet.svg, event), s = unit();
      let near = NEAR, found = null;
      for (const spot of sheet.spots) {
        const d = Math.hypot((spot[0] * k + tx - x) * s, (spot[1] * k + ty - y) * s);
        if (d < near) [near, found] = [d, spot];
      }
      tip.hidden = !found;
      if (!found) return;
      tip.textContent = found[2];
      const r = box.getBoundingClientRect();
      tip.style.left = `${Math.max(0, Math.min(event.clientX - r.left + 14, r.width - tip.offsetWidth))}px`;
      tip.style.top = `${event.clientY - r.top + 16}px`;
    };
    for (const sheet of sheets) {
      const svg = sheet.svg, fingers = new Map();
      svg.addEventListener("wheel", event => {
        if (!event.ctrlKey && k === 1) return; // the page scrolls
        event.preventDefault();
        zoom(Math.exp(-event.deltaY / 300), ...at(svg, event));
      }, { passive: false });
      svg.addEventListener("dblclick", event => zoom(2, ...at(svg, event)));
      svg.addEventListener("pointerdown", event => {
        fingers.set(event.pointerId, at(svg, event));
        if (k > 1 || fingers.size > 1) svg.setPointerCapture(event.pointerId);
        tell(sheet, event);
      });
      svg.addEventListener("pointermove", event => {
        const before = fingers.get(event.pointerId), now = at(svg, event);
        if (!before) return tell(sheet, event);
        if (fingers.size === 1) {
          tx += now[0] - before[0];
          ty += now[1] - before[1];
        } else {
          const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
          const far = p => Math.hypot(p[0] - other[0], p[1] - other[1]);
          zoom(far(now) / Math.max(far(before), 1), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
        }
        fingers.set(event.pointerId, now);
        hold();
      });
      const end = event => { fingers.delete(event.pointerId); };
      svg.addEventListener("pointerup", end);
      svg.addEventListener("pointercancel", end);
      svg.addEventListener("pointerleave", event => { if (event.pointerType === "mouse") tip.hidden = true; });
      const buttons = document.createElement("div");
      buttons.className = "buttons";
      for (const [sign, name, act] of [["+", "zoom in", () => zoom(1.6, W / 2, H / 2)], ["−", "zoom out", () => zoom(1 / 1.6, W / 2, H / 2)],
        ["⤢", "whole picture", () => zoom(1e-9, 0, 0)]]) {
        const button = document.createElement("button");
        [button.textContent, button.title, button.type] = [sign, name, "button"];
        button.addEventListener("click", act);
        buttons.append(button);
      }
      svg.before(buttons);
    }
    box.classList.add("live");
    new ResizeObserver(soon).observe(box);
    draw();
  };
  document.querySelectorAll(".sheets:not(.live)").forEach(start);
})();
