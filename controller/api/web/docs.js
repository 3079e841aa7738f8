// Shows /openapi.json and lets one try an operation. The API key stays in the page's memory.
const element = (name, attributes = {}, ...children) => {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...children.filter((child) => child != null));
  return made;
};

// Text with `code` in it.
const prose = (text) => (text ?? "").split("`").map((part, index) => (index % 2 ? element("code", { textContent: part }) : part));

const described = await (await fetch("/openapi.json")).json();
const resolve = (schema) => (schema?.$ref ? described.components.schemas[schema.$ref.split("/").pop()] : schema) ?? {};

function typeOf(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const several = schema.anyOf ?? schema.oneOf;
  if (several) return several.map(typeOf).join(" | ");
  if (schema.type === "array") return `${typeOf(schema.items ?? {})}[]`;
  return schema.type ?? "any";
}

function limits(schema) {
  const found = [];
  if (schema.minimum !== undefined || schema.maximum !== undefined) found.push(`${schema.minimum ?? ""}..${schema.maximum ?? ""}`);
  if (schema.maxLength !== undefined) found.push(`up to ${schema.maxLength} characters`);
  if (schema.default !== undefined && schema.default !== null) found.push(`default ${JSON.stringify(schema.default)}`);
  return found.join(", ");
}

function row(name, schema, required) {
  const title = required ? element("b", { textContent: name }) : name;
  const about = [schema.description, limits(schema)].filter(Boolean).join("; ");
  return element("tr", {}, element("td", {}, title), element("td", {}, element("code", { textContent: typeOf(schema) })),
    element("td", {}, ...prose(about)));
}

function fields(schema) {
  const whole = resolve(schema);
  if (whole.oneOf) return element("div", {}, ...whole.oneOf.map(fields));
  const table = element("table");
  for (const [name, part] of Object.entries(whole.properties ?? {})) table.append(row(name, part, whole.required?.includes(name)));
  return table;
}

function example(schema, depth = 0) {
  const whole = resolve(schema);
  if (whole.examples) return whole.examples[0];
  if (whole.const !== undefined) return whole.const;
  if (whole.enum) return whole.enum[0];
  const several = whole.anyOf ?? whole.oneOf;
  if (several) return example(several[0], depth);
  if (whole.type === "object" && depth < 3) {
    const wanted = Object.entries(whole.properties ?? {}).filter(([name]) => whole.required?.includes(name));
    return Object.fromEntries(wanted.map(([name, part]) => [name, example(part, depth + 1)]));
  }
  if (whole.type === "array") return [example(whole.items ?? {}, depth + 1)];
  return whole.default ?? { string: "", integer: 0, number: 0, boolean: false }[whole.type] ?? null;
}

function tryIt(method, path, operation) {
  const inputs = (operation.parameters ?? []).map((parameter) => [parameter, element("input", { placeholder: parameter.name })]);
  const schema = operation.requestBody?.content?.["application/json"]?.schema;
  const body = schema ? element("textarea", { value: JSON.stringify(example(schema), null, 2) }) : null;
  const shown = element("pre", { hidden: true });
  const send = element("button", { textContent: "send" });
  send.addEventListener("click", async () => {
    let target = path;
    const query = new URLSearchParams();
    const headers = { Authorization: `Bearer ${document.getElementById("key").value}` };
    for (const [parameter, input] of inputs) {
      if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      else if (!input.value) continue;
      else if (parameter.in === "query") query.set(parameter.name, input.value);
      else headers[parameter.name] = input.value;
    }
    if (body) headers["Content-Type"] = "application/json";
    const answer = await fetch(query.size ? `${target}?${query}` : target, { method, headers, body: body?.value });
    const text = await answer.text();
    let pretty = text;
    try { pretty = JSON.stringify(JSON.parse(text), null, 2); } catch { /* CSV or metrics */ }
    Object.assign(shown, { hidden: false, textContent: `${answer.status}\n${pretty.slice(0, 100000)}` });
  });
  return element("div", {}, ...inputs.map(([, input]) => input), body, send, shown);
}

function operationView(method, path, operation) {
  const answers = element("table");
  for (const [status, answer] of Object.entries(operation.responses)) {
    answers.append(element("tr", {}, element("td", { textContent: status }), element("td", { textContent: answer.description })));
  }
  const schema = operation.requestBody?.content?.["application/json"]?.schema;
  const parameters = element("table");
  for (const part of operation.parameters ?? []) {
    parameters.append(row(part.name, { description: part.description, ...part.schema }, part.required));
  }
  const made = element("details", {},
    element("summary", {}, element("b", { textContent: method.toUpperCase() }), element("code", { textContent: path }), " ",
      ...prose(operation.summary)),
    element("p", {}, ...prose(operation.description)), parameters, schema ? fields(schema) : null, answers);
  made.addEventListener("toggle", () => { if (!made.dataset.ready) { made.dataset.ready = "1"; made.append(tryIt(method.toUpperCase(), path, operation)); } });
  made.dataset.words = `${method} ${path} ${operation.summary ?? ""}`.toLowerCase();
  return made;
}

const groups = new Map();
for (const [path, operations] of Object.entries(described.paths)) {
  for (const [method, operation] of Object.entries(operations)) {
    const tag = operation.tags?.[0] ?? "other";
    if (!groups.has(tag)) groups.set(tag, []);
    groups.get(tag).push(operationView(method, path, operation));
  }
}
const main = document.getElementById("operations");
main.replaceChildren(element("p", {}, ...prose(described.info.description)));
for (const [tag, views] of groups) main.append(element("section", {}, element("h2", { textContent: tag === "cdrs" ? "CDRs" : tag }), ...views));
document.getElementById("filter").addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase();
  for (const made of main.querySelectorAll("details")) made.hidden = !made.dataset.words.includes(wanted);
});
