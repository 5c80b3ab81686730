/** A slider for the window of the running means: `half` bins on each side of each bin. */
zoo.sections.losses = async (element, { halves, size }) => {
  const figure = await zoo.figure(element, "losses");
  const slider = element.querySelector(".window");
  const output = element.querySelector("output");
  const lines = figure.renderers.filter((renderer) => renderer.tags.includes("running"));

  slider.addEventListener("input", () => {
    const half = halves[slider.value];
    const window = (2 * half + 1) * size;
    output.textContent = `${window.toLocaleString("en")} step${window === 1 ? "" : "s"}`;
    for (const { data_source: source } of lines) {
      source.data = { ...Object.fromEntries(zoo.columns(source)), running: runningMean(source, half) };
    }
  });

  function runningMean(source, half) {
    const columns = new Map(zoo.columns(source));
    const [mean, count] = [columns.get("mean"), columns.get("count")];
    const found = new Float32Array(mean.length).fill(NaN);
    let [sum, steps] = [0, 0];
    for (let i = 0; i < mean.length; i++) {
      sum += mean[i] * count[i];
      steps += count[i];
      const first = i - 2 * half;
      if (first < 0) continue;
      found[i - half] = sum / steps;
      sum -= mean[first] * count[first];
      steps -= count[first];
    }
    return found;
  }
};
zoo.sections.overlaid = zoo.sections.losses;
