import de.bwaldvogel.mongo.MongoCollection;
import de.bwaldvogel.mongo.MongoDatabase;
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.AbstractMongoBackend;
import de.bwaldvogel.mongo.backend.Index;
import de.bwaldvogel.mongo.backend.IndexKey;
import de.bwaldvogel.mongo.backend.KeyValue;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.backend.h2.H2Database;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import de.bwaldvogel.mongo.backend.memory.MemoryDatabase;
import de.bwaldvogel.mongo.bson.Document;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Serves the MongoDB protocol on a loopback port: {@code ServeMongo PORT [FILE]}; without a file it forgets. */
public final class ServeMongo {
    /** The library announces a wire version that today's clients refuse; it speaks enough of this one. */
    private static final class Announced implements MongoVersion {
        @Override
        public List<Integer> getVersionArray() {
            return List.of(4, 4, 0);
        }

        @Override
        public int getWireVersion() {
            return 9;
        }
    }

    /**
     * An index that is not unique. The library knows only unique ones and scans the whole collection for
     * every other query, which makes a look-up of 500 ids among 40 000 documents take seconds where a real
     * server takes milliseconds. This one answers equality and $in of texts in one field; it lives in memory and is
     * filled from the collection when that is opened.
     */
    private static final class SecondaryIndex<P> extends Index<P> {
        private final Map<KeyValue, Map<Object, P>> positions = new HashMap<>();

        SecondaryIndex(String name, List<IndexKey> keys, boolean sparse) {
            super(name, keys, sparse);
        }

        @Override
        public synchronized void add(Document document, P position, MongoCollection<P> collection) {
            for (KeyValue key : getKeyValues(document)) {
                positions.computeIfAbsent(key, any -> new LinkedHashMap<>()).put(document.get("_id"), position);
            }
        }

        @Override
        public synchronized P remove(Document document) {
            P position = null;
            for (KeyValue key : getKeyValues(document)) {
                Map<Object, P> bearers = positions.getOrDefault(key, Map.of());
                P known = bearers.isEmpty() ? null : bearers.remove(document.get("_id"));
                position = known == null ? position : known;
                if (bearers.isEmpty()) {
                    positions.remove(key);
                }
            }
            return position;
        }

        @Override
        public synchronized void updateInPlace(
                Document before, Document after, P position, MongoCollection<P> collection) {
            if (!nullAwareEqualsKeys(before, after)) {
                remove(before);
                add(after, position, collection);
            }
        }

        @Override
        public boolean canHandle(Document query) {
            return !isCompoundIndex() && query.keySet().equals(keySet()) && texts(query) != null;
        }

        @Override
        public synchronized Iterable<P> getPositions(Document query) {
            Set<P> found = new LinkedHashSet<>();
            for (Object text : texts(query)) {
                found.addAll(positions.getOrDefault(new KeyValue(text), Map.of()).values());
            }
            return found;
        }

        /** The texts a query asks for; null if it asks for anything else. */
        private Collection<?> texts(Document query) {
            Object wanted = query.get(keys().get(0));
            if (wanted instanceof Document condition && condition.keySet().equals(Set.of("$in"))) {
                wanted = condition.get("$in");
            }
            if (wanted == null) {
                return null;
            }
            Collection<?> values = wanted instanceof Collection<?> several ? several : List.of(wanted);
            return values.stream().allMatch(String.class::isInstance) ? values : null;
        }

        @Override
        public P getPosition(Document document) {
            return null;
        }

        @Override
        public void checkAdd(Document document, MongoCollection<P> collection) {}

        @Override
        public void checkUpdate(Document before, Document after, MongoCollection<P> collection) {}

        @Override
        public synchronized long getCount() {
            return positions.values().stream().mapToLong(Map::size).sum();
        }

        @Override
        public synchronized boolean isEmpty() {
            return positions.isEmpty();
        }

        @Override
        public long getDataSize() {
            return getCount();
        }

        @Override
        public synchronized void drop() {
            positions.clear();
        }
    }

    private static final class IndexedMemoryBackend extends MemoryBackend {
        @Override
        public MemoryDatabase openOrCreateDatabase(String database) {
            return new MemoryDatabase(database, getCursorRegistry()) {
                @Override
                protected Index<Integer> openOrCreateSecondaryIndex(
                        String collection, String name, List<IndexKey> keys, boolean sparse) {
                    return new SecondaryIndex<>(name, keys, sparse);
                }
            };
        }
    }

    private static final class IndexedFileBackend extends H2Backend {
        IndexedFileBackend(String file) {
            super(file);
        }

        @Override
        protected MongoDatabase openOrCreateDatabase(String database) {
            return new H2Database(database, getMvStore(), getCursorRegistry()) {
                @Override
                protected Index<Object> openOrCreateSecondaryIndex(
                        String collection, String name, List<IndexKey> keys, boolean sparse) {
                    return new SecondaryIndex<>(name, keys, sparse);
                }
            };
        }
    }

    public static void main(String[] arguments) throws InterruptedException {
        AbstractMongoBackend backend =
                arguments.length > 1 ? new IndexedFileBackend(arguments[1]) : new IndexedMemoryBackend();
        backend.version(new Announced());
        MongoServer server = new MongoServer(backend);
        server.bind("127.0.0.1", Integer.parseInt(arguments[0]));
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
        Thread.currentThread().join();
    }
}
