// Shows the entries of one channel as they come: /?channel=PROCESS/NAME
"use strict"

const RETRY_MS = 1000
const WORDS = {
  connecting: "connecting",
  live: "live",
  cut: "the link is cut; coming back by itself",
  ended: "complete: the writer has said so",
  failed: "the writer gave up",
  locked: "not logged in: ask for a link with “holdfast token link”",
  gone: "there is no such channel, or not for you",
}

const channel = new URLSearchParams(location.search).get("channel") ?? ""
const answer = document.getElementById("answer")
let last = 0 // the index of the newest entry shown
let cuts = 0

function show(state, words = WORDS[state]) {
  document.body.dataset.state = state
  document.getElementById("status").textContent = words
  document.getElementById("cuts").textContent = cuts
}

// Entries have indexes, so it is plain which ones are here already: after a cut the newest may come again.
function take(entry) {
  if (entry.index <= last) return
  last = entry.index
  if (entry.type === "data") {
    const token = document.createElement("span")
    token.dataset.index = entry.index
    token.textContent = entry.payload
    answer.append(token)
    document.getElementById("count").textContent = answer.childElementCount
  } else if (entry.type === "end") {
    show("ended")
  } else if (entry.type === "error") {
    show("failed", `${WORDS.failed}: ${entry.error}`)
  }
}

const isOver = () => ["ended", "failed"].includes(document.body.dataset.state)

// A browser's EventSource comes back by itself and says where it was. It gives up when the answer is an error; then we
// look what is the matter, and begin after the last entry we have.
function watch() {
  const url = `/v1/stream/channels/${channel}`
  const source = new EventSource(`${url}?offset=${last}&live=sse`)
  source.addEventListener("open", () => isOver() || show("live"))
  source.addEventListener("data", (event) => JSON.parse(event.data).forEach(take))
  source.addEventListener("control", (event) => {
    const closed = JSON.parse(event.data).streamClosed
    if (closed || isOver()) source.close()
    if (closed && !isOver()) show("ended", "the channel was closed")
  })
  source.addEventListener("error", (event) => {
    if (event.data !== undefined) source.close() // the node's own last word, as when the login has ended
    else if (!isOver() && document.body.dataset.state === "live") cuts += 1
    if (isOver()) source.close()
    else if (source.readyState === EventSource.CLOSED) look(url)
    else show("cut")
  })
}

async function look(url) {
  let status = 0
  try {
    status = (await fetch(`${url}?offset=now`)).status
  } catch {
    // nobody answers yet
  }
  if (status === 401 || status === 403) show("locked")
  else if (status === 404) show("gone")
  else {
    show("cut")
    setTimeout(watch, RETRY_MS)
  }
}

document.getElementById("channel").textContent = channel
show("connecting")
watch()
