// The room's chat in a page of your own: what people write, and what the transcriber tells and
// answers. Messages are text streams on `lk.chat`, as LiveKit's own components send them.

const TOPIC = "lk.chat";

/**
 * Show a room's chat in a list, and send what is written into a form's text field:
 *
 *     <li data-from="agent-AJ_..."><b>transcriber</b> <span>This meeting is being transcribed.</span></li>
 *
 * Call it before `room.connect`, or the first are missed.
 *
 * @param room livekit-client's Room.
 * @param list an <ol> or <ul>.
 * @param form a <form> with an <input name="text">.
 */
export function showChat(room, list, form) {
  function show(identity, text) {
    const item = document.createElement("li");
    const [name, words] = ["b", "span"].map((tag) => document.createElement(tag));
    item.dataset.from = identity;
    name.textContent = nameOf(room, identity);
    // As text, never as HTML: anybody may have written it, or had it answered.
    words.textContent = text;
    item.append(name, " ", words);
    list.append(item);
    item.scrollIntoView({ block: "nearest" });
  }

  room.registerTextStreamHandler(TOPIC, async (reader, { identity }) => {
    try {
      show(identity, await reader.readAll());
    } catch {
      // A message that our own connection cuts short was not said.
    }
  });

  // A message can be faster than the news of who has come.
  room.on("participantConnected", ({ identity }) => {
    for (const item of list.querySelectorAll(`[data-from="${CSS.escape(identity)}"]`)) {
      item.firstChild.textContent = nameOf(room, identity);
    }
  });

  form.onsubmit = async (event) => {
    event.preventDefault();
    const text = form.elements.text.value.trim();
    if (!text) return;
    form.elements.text.value = "";
    await room.localParticipant.sendText(text, { topic: TOPIC });
    show(room.localParticipant.identity, text);
  };
}

function nameOf(room, identity) {
  if (identity === room.localParticipant.identity) return room.localParticipant.name || identity;
  const one = room.remoteParticipants.get(identity);
  return one?.isAgent ? "transcriber" : one?.name || identity;
}
