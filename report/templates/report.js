// Filters and the copy button. Without script the page shows everything and these stay hidden.
(function () {
  'use strict';
  var byId = document.getElementById.bind(document);
  var all = function (selector, root) { return Array.prototype.slice.call((root || document).querySelectorAll(selector)); };

  var copy = byId('copy');
  copy.hidden = !navigator.clipboard;
  copy.addEventListener('click', function () {
    navigator.clipboard.writeText(byId('command').textContent).then(function () {
      copy.textContent = 'Copied';
      setTimeout(function () { copy.textContent = 'Copy'; }, 1500);
    });
  });

  var around = function (element) { return element.parentElement && element.parentElement.closest('details.step'); };

  // A link to a step opens it, and what is around it.
  var reveal = function () {
    var step = location.hash && byId(location.hash.slice(1));
    if (!step || step.tagName !== 'DETAILS') { return; }
    for (var up = step; up; up = around(up)) { up.open = true; }
    step.scrollIntoView();
  };
  window.addEventListener('hashchange', reveal);
  reveal();

  var bar = byId('filter');
  if (!bar) { return; }
  bar.hidden = false;
  var text = byId('text');
  var buttons = all('button[data-filter]', bar);
  var steps = all('details.step').map(function (step) {
    var own = all('tbody[data-v]', step).filter(function (job) { return around(job) === step; });
    var jobs = own.map(function (job) {
      return { job: job, verdict: job.dataset.v, words: job.rows[0].textContent.toLowerCase(), counts: !('execution' in job.dataset) };
    });
    return { step: step, jobs: jobs, open: step.open, shown: 0 };
  });
  steps.forEach(function (entry) {
    var outer = around(entry.step);
    entry.outer = steps.filter(function (other) { return other.step === outer; })[0];
  });
  // A composite is shown for what is inside of it, so that has its turn first.
  steps.reverse();
  var filtering = false;

  var apply = function () {
    var wanted = buttons.filter(function (b) { return b.getAttribute('aria-pressed') === 'true'; })
      .map(function (b) { return b.dataset.filter; });
    var needle = text.value.trim().toLowerCase();
    var active = wanted.length > 0 || needle !== '';
    var found = 0;
    steps.forEach(function (entry) { entry.shown = 0; });
    steps.forEach(function (entry) {
      if (active && !filtering) { entry.open = entry.step.open; }
      entry.jobs.forEach(function (one) {
        var fits = (!wanted.length || wanted.indexOf(one.verdict) >= 0) && one.words.indexOf(needle) >= 0;
        one.job.hidden = !fits;
        if (fits) { entry.shown += 1; }
        if (fits && one.counts) { found += 1; }
      });
      if (entry.outer) { entry.outer.shown += entry.shown; }
      entry.step.hidden = active && entry.shown === 0;
      entry.step.open = active ? entry.shown > 0 : filtering ? entry.open : entry.step.open;
    });
    filtering = active;
    byId('matches').textContent = active ? found + (found === 1 ? ' job' : ' jobs') : '';
  };

  var later;
  text.addEventListener('input', function () { clearTimeout(later); later = setTimeout(apply, 120); });
  buttons.forEach(function (button) {
    button.addEventListener('click', function () {
      button.setAttribute('aria-pressed', String(button.getAttribute('aria-pressed') !== 'true'));
      apply();
    });
  });
})();
