// Two clients of one document; SERVICE is the URL of the service.

const input = "openapi.json";

export default {
  fetch: { input, output: { target: "orval_fetch.ts", client: "fetch", baseUrl: process.env.SERVICE } },
  axios: { input, output: { target: "orval_axios.ts", client: "axios-functions" } },
};
