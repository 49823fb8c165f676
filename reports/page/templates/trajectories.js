// Steps through recorded texts. Frame 0 is what the first network call saw, frame k what the k-th left behind.
(() => {
  "use strict";
  const AGES = 4;  // calls after which a change is no longer highlighted
  const ways = JSON.parse(document.getElementById("trajectories-data").textContent);
  const part = (name) => document.getElementById("player-" + name);
  const player = document.getElementById("player"), slider = part("call"), tape = part("tape"), count = part("count");
  let way, frames, changed, spans, call = 0, timer = null;

  const fill = (select, names) =>
    select.replaceChildren(...names.map((name, value) => new Option(name, String(value))));

  function unpack(text) {  // every frame, and the places that each call changed
    const first = [];
    for (let k = 0; k < text.start.length; k += 2) first.push(...Array(text.start[k + 1]).fill(text.start[k]));
    frames = [first];
    changed = [[]];
    for (const pairs of text.changes) {
      const frame = frames[frames.length - 1].slice(), places = [];
      for (let k = 0; k < pairs.length; k += 2) {
        frame[pairs[k]] = pairs[k + 1];
        places.push(pairs[k]);
      }
      frames.push(frame);
      changed.push(places);
    }
  }

  function show(wanted) {
    const last = frames.length - 1;
    call = Math.max(0, Math.min(last, wanted));
    const frame = frames[call], age = new Map();
    for (let old = Math.min(AGES - 1, call - 1); old >= 0; old--) changed[call - old].forEach((place) => age.set(place, old));
    spans.forEach((span, place) => {
      const masked = frame[place] === way.mask;
      const text = way.symbols[frame[place]];
      const look = (masked ? "masked" : "") + (age.has(place) ? " age" + age.get(place) : "");
      if (span.textContent !== text) span.textContent = text;
      if (span.className !== look) span.className = look;
    });
    const left = frame.filter((id) => id === way.mask).length, now = changed[call].length;
    count.textContent = call === 0
      ? `before the first of ${last} calls, ${left} masked`
      : `call ${call} of ${last}, ${now} ${now === 1 ? "token" : "tokens"} changed, ${left} masked`;
    slider.value = String(call);
    slider.setAttribute("aria-valuetext", count.textContent);
    if (call === last) stop();
  }

  function stop() {
    clearInterval(timer);
    timer = null;
    part("play").textContent = "Play";
    count.setAttribute("aria-live", "polite");
  }

  function play() {
    if (timer !== null) return stop();
    if (call === frames.length - 1) show(0);
    if (frames.length === 1) return;
    count.setAttribute("aria-live", "off");  // nobody wants each call read aloud
    part("play").textContent = "Pause";
    timer = setInterval(() => show(call + 1), 1000 / Number(part("speed").value));
  }

  function open() {
    stop();
    unpack(way.texts[Number(part("text").value)]);
    spans = frames[0].map(() => document.createElement("span"));
    tape.replaceChildren(...spans);
    slider.max = String(frames.length - 1);
    show(0);
  }

  function choose() {
    way = ways[Number(part("way").value)];
    fill(part("text"), way.texts.map((_, number) => String(number + 1)));
    open();
  }

  const step = (to) => () => { stop(); show(to()); };
  const moves = {
    first: step(() => 0), back: step(() => call - 1), next: step(() => call + 1), last: step(() => frames.length - 1), play,
  };
  const keys = { ArrowLeft: "back", ArrowRight: "next", Home: "first", End: "last" };
  for (const [name, move] of Object.entries(moves)) part(name).addEventListener("click", move);
  part("way").addEventListener("change", choose);
  part("text").addEventListener("change", open);
  part("speed").addEventListener("change", () => { if (timer !== null) { stop(); play(); } });
  slider.addEventListener("input", step(() => Number(slider.value)));
  player.addEventListener("keydown", (event) => {
    const move = moves[keys[event.key]];
    if (!move || event.target.tagName === "SELECT" || event.target === slider || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    move();
  });

  fill(part("way"), ways.map((each) => each.name));
  player.hidden = false;
  choose();
})();
