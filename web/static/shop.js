// What the pages do better with scripts. Each works without: nothing here is needed to buy a ticket.
"use strict";

const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));

// A form is sent once: its button says that it is at work until the next page is there.
function guardForm(form) {
  let sent = false;
  form.addEventListener("submit", (event) => {
    if (sent) {
      event.preventDefault();
      return;
    }
    sent = true;
    const button = event.submitter || form.querySelector("button[type=submit]");
    if (!button) return;
    button.dataset.words = button.textContent;
    if (button.dataset.busy) button.textContent = button.dataset.busy;
    button.setAttribute("aria-disabled", "true");
  });
  // Coming back by the browser's own button finds the form as it was, ready again.
  window.addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    sent = false;
    all("button[aria-disabled]", form).forEach((button) => {
      button.removeAttribute("aria-disabled");
      button.textContent = button.dataset.words;
    });
  });
}

// Minus and plus around a number of tickets.
function addSteps(box) {
  const input = box.querySelector("input");
  const step = (text, label, by) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.setAttribute("aria-label", `${label}: ${input.getAttribute("aria-label")}`);
    button.addEventListener("click", () => {
      const value = Math.min(Number(input.max), Math.max(0, (Number(input.value) || 0) + by));
      input.value = String(value);
      input.dispatchEvent(new Event("input", { bubbles: true }));
    });
    return button;
  };
  const less = step("−", "One less", -1);
  const more = step("+", "One more", 1);
  input.before(less);
  input.after(more);
  box.classList.add("live");
  const mark = () => {
    less.disabled = !(Number(input.value) > 0);
    more.disabled = Number(input.value) >= Number(input.max);
  };
  input.addEventListener("input", mark);
  mark();
}

// The running total, in the reader's own format.
function addTotal(form) {
  const format = new Intl.NumberFormat(form.dataset.locale, { style: "currency", currency: form.dataset.currency });
  const scale = 10 ** format.resolvedOptions().maximumFractionDigits;
  const inputs = all("input[data-price]", form);
  const sum = form.querySelector("[data-sum]");
  const most = Number(form.dataset.most);
  if (!sum) return;
  sum.hidden = false;
  const show = () => {
    const total = inputs.reduce((part, input) => part + Number(input.dataset.price) * (Number(input.value) || 0), 0);
    const tickets = inputs.reduce((part, input) => part + (Number(input.value) || 0), 0);
    sum.querySelector("[data-total]").textContent = format.format(total / scale);
    inputs.forEach((input) => {
      input.setCustomValidity(tickets > most && Number(input.value) > 0 ? `One order holds at most ${most} tickets.` : "");
    });
  };
  form.addEventListener("input", show);
  show();
}

// The order's own address. After a refused form this page is the form's answer: a reload would send the form again.
function orderAddress() {
  return location.pathname.replace(/\/(payment|cancellation)$/, "");
}

// How long the tickets stay held. The server's clock counts, whatever this machine's says.
function countDown(box) {
  const ends = Date.parse(box.dataset.hold) - Date.parse(box.dataset.now);
  const began = performance.now();
  const shown = box.querySelector("[data-left]");
  const told = box.querySelector("[data-tell]");
  const announce = new Set([5, 2, 1]);
  const tick = () => {
    const left = Math.max(0, Math.round((ends - (performance.now() - began)) / 1000));
    const minutes = Math.floor(left / 60);
    shown.textContent = `${minutes}:${String(left % 60).padStart(2, "0")} left`;
    const whole = Math.ceil(left / 60);
    if (announce.has(whole) && left > whole * 60 - 5) {
      announce.delete(whole);
      told.textContent = `${whole} minute${whole === 1 ? "" : "s"} left to pay for your tickets.`;
    }
    if (left === 0) {
      clearInterval(timer);
      told.textContent = "The time to pay is over.";
      setTimeout(() => location.replace(orderAddress()), 1500);
    }
  };
  const timer = setInterval(tick, 1000);
  tick();
}

// Fresh results around the count, which stays: screen readers tell only of a node that was there before.
function showResults(results, fresh) {
  const head = results.querySelector(".results-head");
  const freshHead = fresh.querySelector(".results-head");
  head.querySelector(".count").textContent = freshHead.querySelector(".count").textContent;
  head.querySelector(".filters-open").replaceWith(freshHead.querySelector(".filters-open"));
  freshHead.remove();
  while (head.nextSibling) head.nextSibling.remove();
  head.after(...fresh.childNodes);
}

// Filters that were changed show their concerts at once, without moving what the reader looks at.
function liveFilters(form) {
  let latest = 0;
  const show = async () => {
    const turn = ++latest;
    const entered = new URLSearchParams(new FormData(form));
    for (const [name, value] of Array.from(entered)) {
      if (value === "" || (name === "sort" && value === "date")) entered.delete(name);
    }
    const address = form.action + (entered.size ? `?${entered}` : "");
    const results = document.getElementById("results");
    results.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(address, { headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("results");
      if (turn !== latest) return;
      if (!answer.ok || !fresh) throw new Error(String(answer.status));
      showResults(results, fresh);
      document.querySelector(".browse h1").textContent = page.querySelector(".browse h1").textContent;
      document.title = page.title;
      history.replaceState(null, "", address);
    } catch {
      form.submit();
    } finally {
      if (turn === latest) results.removeAttribute("aria-busy");
    }
  };
  form.addEventListener("change", (event) => {
    // On a phone the filters cover the list: there the button shows it, when all is chosen.
    if (event.target.type !== "search" && matchMedia("(min-width: 880px)").matches) show();
  });
}

all("form[method=post]").forEach(guardForm);
all("[data-stepper]").forEach(addSteps);
all("form[data-buy]").forEach(addTotal);
all("[data-hold]").forEach(countDown);
all("form[data-filters]").forEach(liveFilters);
all("[data-print]").forEach((button) => {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
});
// The sum of what is wrong takes the focus; most browsers do it by themselves (autofocus).
window.addEventListener("load", () => {
  const summary = document.querySelector("[data-summary]");
  if (summary && document.activeElement === document.body) summary.focus();
});
