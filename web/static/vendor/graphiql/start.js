"use strict";

// Opens GraphiQL on this shop's endpoint.
const example = `query {
  concerts(first: 5) {
    nodes { title startsAt venue { name city } priceFrom { amountMinor currency } }
  }
}
`;

ReactDOM.createRoot(document.getElementById("graphiql")).render(
  React.createElement(GraphiQL, {
    fetcher: GraphiQL.createFetcher({ url: "/graphql" }),
    defaultQuery: example,
  }),
);
