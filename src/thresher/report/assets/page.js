(function () {
  "use strict";
  var COLOURS = ["color", "fillcolor", "bgcolor", "bordercolor", "gridcolor", "linecolor", "tickcolor"];
  var CONFIG = {
    responsive: true, displayModeBar: false, scrollZoom: false, doubleClick: false
  };

  // Colours stand in the figures as "@name"; the style sheet says what they are in light and in dark.
  function painted(value, key, style) {
    if (typeof value === "string") {
      var own = COLOURS.indexOf(key) >= 0 && value.charAt(0) === "@";
      return own ? style.getPropertyValue("--" + value.slice(1)).trim() : value;
    }
    if (Array.isArray(value)) return value.map(function (item) { return painted(item, "", style); });
    if (value && typeof value === "object") {
      var copy = {};
      Object.keys(value).forEach(function (name) { copy[name] = painted(value[name], name, style); });
      return copy;
    }
    return value;
  }

  function draw() {
    var style = getComputedStyle(document.documentElement);
    document.querySelectorAll(".chart").forEach(function (box) {
      var spec = painted(JSON.parse(document.getElementById(box.id + "-data").textContent), "", style);
      window.Plotly.react(box, spec.data, spec.layout, CONFIG);
    });
  }

  function copyable(button) {
    button.hidden = false;
    button.addEventListener("click", function () {
      var text = document.getElementById(button.dataset.copies).textContent;
      navigator.clipboard.writeText(text).then(
        function () { button.textContent = "Copied"; },
        function () { button.textContent = "Select it by hand"; }
      );
      setTimeout(function () { button.textContent = "Copy"; }, 2000);
    });
  }

  draw();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  if (navigator.clipboard) document.querySelectorAll("button[data-copies]").forEach(copyable);
})();
