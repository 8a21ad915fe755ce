// The public conformance suite, against the node at HOLDFAST_TEST_URL.
import { runConformanceTests } from "@durable-streams/server-conformance-tests"

runConformanceTests({ baseUrl: process.env.HOLDFAST_TEST_URL, longPollTimeoutMs: 20_000 })
