// Server-sent events out of the pieces of a body: the returned function takes text as it comes and
// calls onData with the data of every whole event. Comments and other fields are passed over.
export function eventReader(onData) {
  let rest = "", data = [];

  function take(line) {
    if (line === "") {
      if (data.length) onData(data.join("\n"));
      data = [];
    } else if (line.startsWith("data:")) {
      data.push(line.slice(line[5] === " " ? 6 : 5));
    }
  }

  return (piece) => {
    const lines = (rest + piece).split("\n");
    rest = lines.pop();
    for (const line of lines) take(line.endsWith("\r") ? line.slice(0, -1) : line);
  };
}
