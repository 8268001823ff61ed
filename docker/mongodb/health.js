// The health check: the audio service's user can sign in, and this is a primary that takes writes.
const fs = require("fs");

const env = process.env;
const role = JSON.parse(fs.readFileSync(`${__dirname}/role.json`, "utf8"));
const password = encodeURIComponent(fs.readFileSync(`${env.SECRETS || "/data/configdb"}/mongo_password`, "utf8"));
const at = `127.0.0.1:${env.PORT || 27017}`;
const db = connect(`mongodb://${role.user}:${password}@${at}/admin?directConnection=true&appName=health`);

quit(db.hello().isWritablePrimary ? 0 : 1);
