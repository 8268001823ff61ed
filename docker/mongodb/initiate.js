// Makes the replica set and the users, as far as they are not there; run by start.sh beside the server. Every step may
// have been done by an earlier start, or half of them by one that was killed.
//
// The administrator is made through the localhost exception, which ends with the first user. The audio service's user
// may read and write its own database and ask how the server is, and nothing else.

const fs = require("fs");

const env = process.env;
const at = `127.0.0.1:${env.PORT}`;
const member = env.MEMBER || `mongodb:${env.PORT}`;
const secret = (name) => fs.readFileSync(`${env.SECRETS}/${name}`, "utf8");
const role = JSON.parse(fs.readFileSync(`${__dirname}/role.json`, "utf8"));

const ADMIN = "admin";
const PATIENCE_MS = 120_000;
const ALREADY_INITIALIZED = 23;
const AUTHENTICATION_FAILED = 18;
const UNAUTHORIZED = 13;

function eventually(what, attempt) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      const result = attempt();
      if (result) return result;
    } catch (error) {
      if (Date.now() > end) throw error;
    }
    if (Date.now() > end) throw new Error(`${what}: not within ${PATIENCE_MS / 1000} s`);
    sleep(250);
  }
}

function open(user) {
  const credentials = user ? `${user}:${encodeURIComponent(secret("admin_password"))}@` : "";
  return connect(`mongodb://${credentials}${at}/admin?directConnection=true&appName=initiate`);
}

/** The administrator's connection, or null while there is no administrator. */
function signedIn() {
  try {
    const db = open(ADMIN);
    db.hello(); // mongosh awaits calls, and not what a function returns: without this nothing is caught here
    return db;
  } catch (error) {
    if (error.code === AUTHENTICATION_FAILED) return null;
    throw error;
  }
}

function initiate(admin) {
  try {
    admin.adminCommand({ replSetInitiate: { _id: "rs0", members: [{ _id: 0, host: member }] } });
  } catch (error) {
    // Without a user the localhost exception allows it; with one, an initiated set answers that it is one.
    if (error.code !== ALREADY_INITIALIZED && error.code !== UNAUTHORIZED) throw error;
  }
}

eventually("the server answers", () => open().hello());
let admin = signedIn();
initiate(admin || open());
eventually("the set has a primary", () => open().hello().isWritablePrimary);

if (!admin) {
  open().createUser({ user: ADMIN, pwd: secret("admin_password"), roles: [{ role: "root", db: "admin" }] });
  admin = open(ADMIN);
}

const rights = { privileges: role.privileges, roles: role.roles };
if (admin.getRole(role.role)) admin.updateRole(role.role, rights);
else admin.createRole({ role: role.role, ...rights });

const user = { pwd: secret("mongo_password"), roles: [{ role: role.role, db: "admin" }] };
if (admin.getUser(role.user)) admin.updateUser(role.user, user);
else admin.createUser({ user: role.user, ...user });

print("replica set and users are ready");
