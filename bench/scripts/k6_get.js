// k6's script for the comparison's work: GET of the URL that the environment names.
import http from "k6/http";

export default function () {
  http.get(__ENV.URL);
}
