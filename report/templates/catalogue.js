// The search. Without script the page shows everything and the field stays hidden.
(function () {
  'use strict';
  var byId = document.getElementById.bind(document);
  var rows = Array.prototype.slice.call(document.querySelectorAll('tr[data-of]')).map(function (row) {
    return { row: row, part: byId(row.dataset.of), words: row.textContent.toLowerCase() + ' ' + row.dataset.words };
  });
  var text = byId('text');
  byId('filter').hidden = false;

  var apply = function () {
    var wanted = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    var found = 0;
    rows.forEach(function (one) {
      var fits = wanted.every(function (word) { return one.words.indexOf(word) >= 0; });
      one.row.hidden = !fits;
      one.part.hidden = !fits;
      if (fits) { found += 1; }
    });
    byId('matches').textContent = wanted.length ? found + (found === 1 ? ' function' : ' functions') : '';
  };

  var later;
  text.addEventListener('input', function () { clearTimeout(later); later = setTimeout(apply, 80); });
  // A link shows its function, whatever is searched for.
  window.addEventListener('hashchange', function () {
    var part = byId(decodeURIComponent(location.hash.slice(1)));
    if (part && part.hidden) { text.value = ''; apply(); part.scrollIntoView(); }
  });
})();
