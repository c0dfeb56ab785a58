// The filter text: words and `name:value` qualifiers. The server gives it its meaning; here it is only edited.

const TOKEN = /-?[A-Za-z_.]+:"(?:[^"\\]|\\.)*"|"(?:[^"\\]|\\.)*"|\S+/g;

export function tokens(text) {
  return (text.match(TOKEN) ?? []).map((word) => {
    const found = /^(-?)([A-Za-z_.]+):(.*)$/s.exec(word);
    return found ? { word, name: found[1] + found[2].toLowerCase(), value: unquote(found[3]) } : { word, name: null, value: word };
  });
}

function unquote(value) {
  return value.startsWith('"') ? value.slice(1, -1).replace(/\\(.)/gs, "$1") : value;
}

export function qualifier(name, value) {
  const plain = /^[^\s"\\,]+$/.test(value);
  return `${name}:${plain ? value : `"${value.replace(/["\\]/g, "\\$&")}"`}`;
}

/** Return the value of a qualifier that stands once, else null. */
export function valueOf(text, name) {
  const found = tokens(text).filter((token) => token.name === name);
  return found.length === 1 ? found[0].value : null;
}

/** Return the text with one qualifier set, or taken out when the value is null. */
export function withQualifier(text, name, value) {
  const words = tokens(text).filter((token) => token.name !== name).map((token) => token.word);
  if (value !== null && value !== "") words.push(qualifier(name, String(value)));
  return words.join(" ");
}
