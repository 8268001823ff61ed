"use strict";

// Replaces the plain list. Without a validator: the default one is on another host.
if (window.SwaggerUIBundle) {
  SwaggerUIBundle({ url: "/openapi.json", dom_id: "#operations", deepLinking: true, validatorUrl: null });
}
