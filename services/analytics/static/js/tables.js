// Tables and tiles, built node by node: no text from the data is ever read as markup.

export function node(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== undefined) element.setAttribute(key, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// `columns` are {title, cell(row) → text or node, number?, words?}.
export function table(holder, columns, rows, nothing) {
  if (rows.length === 0) {
    holder.replaceChildren(node("p", { class: "muted" }, nothing));
    return;
  }
  const kind = (column) => (column.number ? "number" : column.words ? "words" : undefined);
  const head = node("tr", {}, ...columns.map((column) => node("th", { class: kind(column), scope: "col" }, column.title)));
  const body = rows.map((row) => node("tr", {}, ...columns.map((column) => node("td", { class: kind(column) }, column.cell(row)))));
  const built = node("div", { class: "scroll" }, node("table", {}, node("thead", {}, head), node("tbody", {}, ...body)));
  const before = holder.querySelector(".scroll");
  const place = before ? [before.scrollLeft, before.scrollTop] : [0, 0];
  holder.replaceChildren(built);
  [built.scrollLeft, built.scrollTop] = place;
}

export function tiles(holder, items) {
  holder.replaceChildren(...items.map(({ id, label, value, bad }) => node("div", { class: bad ? "tile bad" : "tile" }, node("b", { id }, value), node("span", {}, label))));
}
