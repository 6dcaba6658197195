// Shows the answer about each host.

function showAnswers(answers, several) {
  byId("answers").append(...answers.map(([host, [[, first], ...lines]]) => make("div", { class: "answer" },
    several ? make("h3", { class: "name" }, host) : "",
    make("p", {}, make("strong", {}, first)),
    make("dl", {}, ...lines.flatMap(([about, text]) => [make("dt", {}, about), make("dd", {}, text)])))));
  byId("answers").hidden = !answers.length;
}
