/** The route under which requests are counted that no route answered, so that unknown URLs are one endpoint. */
export const unmatched = '(unmatched)'
