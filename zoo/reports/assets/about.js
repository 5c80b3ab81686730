/** Code can be copied. Where the browser does not allow that, it is selected, to be copied by the keyboard. */
zoo.sections.about = (element) => {
  const status = element.querySelector(".copied");
  for (const code of element.querySelectorAll(".code")) {
    const [button, text] = [code.querySelector("button"), code.querySelector("pre")];
    button.hidden = false;
    button.addEventListener("click", async () => {
      const copied = await zoo.copy(text.textContent);
      if (!copied) zoo.select(text);
      status.textContent = copied ? "Copied." : "Selected: copy it with the keyboard.";
      const label = button.firstChild;
      label.data = copied ? "Copied" : "Selected";
      setTimeout(() => { label.data = "Copy"; }, 2000);
    });
  }
};

/**
 * @param {string} text
 * @returns {Promise<boolean>} whether the browser allowed it
 */
zoo.copy = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {  // there is no clipboard here, or it is denied
    return false;
  }
};

/** @param {Element} element whose text is selected, and gets the focus */
zoo.select = (element) => {
  const range = document.createRange();
  range.selectNodeContents(element);
  const selection = getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
  element.focus();
};
